//go:build terraform

package terraform

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder stands before the stand-in and writes down who asked for what, as
// IAM names it: by the access key of the request.
type recorder struct {
	server *httptest.Server
	mu     struct {
		sync.Mutex
		actions map[string]map[string]bool
		// since are the operations since startOver, as "PutItem topics" and
		// "GetObject objects", and the actions of agents, as IAM names them.
		since map[string]bool
	}
}

func record(t *testing.T, endpoint string) *recorder {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	r.mu.actions = map[string]map[string]bool{}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.Host = p.In.Host // it is signed
	}}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.note(req)
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(r.server.Close)
	return r
}

// of lists the actions that an access key was used for.
func (r *recorder) of(key string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.mu.actions[key]))
}

// startOver forgets what was asked of tables and buckets.
func (r *recorder) startOver() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.since = map[string]bool{}
}

// asked says whether an operation on rows of a kind, or on objects, was asked for
// since startOver.
func (r *recorder) asked(operation, kind string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.since[operation+" "+kind]
}

// worked says whether agents asked for an action since startOver.
func (r *recorder) worked(action string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.since[action]
}

var credential = regexp.MustCompile(`Credential=([^/]+)/[0-9]+/[^/]+/([^/]+)/`)

func (r *recorder) note(req *http.Request) {
	match := credential.FindStringSubmatch(req.Header.Get("Authorization"))
	if match == nil {
		return
	}
	key, service := match[1], match[2]
	var action, kind string
	_, target, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	_, operation, _ := strings.Cut(req.URL.Path, "/operation/")
	switch {
	case service == "s3":
		action, kind = s3Action(req), "objects"
	case target != "":
		action = target
		_, kind, _ = strings.Cut(tableOf(req), "-")
	case operation != "":
		action = operation
	default: // the query protocol
		form, _ := url.ParseQuery(string(body(req)))
		action = form.Get("Action")
	}
	if name, ok := map[string]string{"monitoring": "cloudwatch"}[service]; ok {
		service = name // its name in signatures is another one
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.actions[key] == nil {
		r.mu.actions[key] = map[string]bool{}
	}
	r.mu.actions[key][service+":"+action] = true
	if r.mu.since != nil {
		r.mu.since[action+" "+kind] = true
		if key == "agent" {
			r.mu.since[service+":"+action] = true
		}
	}
}

// body reads a request's body, and leaves it to be read again.
func body(req *http.Request) []byte {
	b, _ := io.ReadAll(req.Body) // what is missing, the server misses as well
	req.Body = io.NopCloser(bytes.NewReader(b))
	return b
}

// tableOf is the table that a request to DynamoDB is about.
func tableOf(req *http.Request) string {
	var in struct{ TableName string }
	_ = json.Unmarshal(body(req), &in) // other services have none
	return in.TableName
}

// s3Action is the permission that a request to S3 needs.
func s3Action(req *http.Request) string {
	_, key, _ := strings.Cut(strings.Trim(req.URL.Path, "/"), "/")
	query := req.URL.Query()
	if key != "" {
		switch {
		case req.Method == http.MethodDelete && query.Has("uploadId"):
			return "AbortMultipartUpload"
		case req.Method == http.MethodDelete:
			return "DeleteObject"
		case req.Method == http.MethodPut:
			return "PutObject"
		default: // HEAD as well
			return "GetObject"
		}
	}
	switch {
	case query.Has("uploads"):
		return "ListBucketMultipartUploads"
	case query.Has("versions"):
		return "ListBucketVersions"
	case query.Has("delete"):
		return "DeleteObject"
	}
	verb := map[string]string{http.MethodGet: "Get", http.MethodPut: "Put", http.MethodDelete: "Put"}[req.Method]
	for parameter, name := range map[string]string{
		"accelerate": "AccelerateConfiguration", "acl": "BucketAcl", "cors": "BucketCORS", "encryption": "EncryptionConfiguration",
		"lifecycle": "LifecycleConfiguration", "location": "BucketLocation", "logging": "BucketLogging", "object-lock": "BucketObjectLockConfiguration",
		"ownershipControls": "BucketOwnershipControls", "policy": "BucketPolicy", "publicAccessBlock": "BucketPublicAccessBlock",
		"replication": "ReplicationConfiguration", "requestPayment": "BucketRequestPayment", "tagging": "BucketTagging",
		"versioning": "BucketVersioning", "website": "BucketWebsite",
	} {
		if query.Has(parameter) {
			if name == "BucketPolicy" && req.Method == http.MethodDelete {
				return "DeleteBucketPolicy"
			}
			return verb + name
		}
	}
	switch req.Method {
	case http.MethodPut:
		return "CreateBucket"
	case http.MethodDelete:
		return "DeleteBucket"
	default:
		return "ListBucket"
	}
}
