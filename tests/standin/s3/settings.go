package s3

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// settings keeps what Terraform sets of a bucket and reads of it, word for word:
// the gateway has some of that, under other conditions, and no lifecycle. Nothing
// here acts on it (a policy refuses nobody), and no signature is checked.
type settings struct {
	gateway http.Handler
	root    string // has a folder for each bucket
	mu      sync.Mutex
	kept    map[string]map[string]document // by bucket and parameter
}

type document struct {
	body []byte
	// minimumSize goes with a lifecycle, in a header.
	minimumSize string
}

const minimumSizeHeader = "X-Amz-Transition-Default-Minimum-Object-Size"

// unset is what S3 says of a setting that a bucket does not have, by the
// parameter that asks for it: an error's code, or a document.
var unset = map[string]string{
	"cors":              "NoSuchCORSConfiguration",
	"encryption":        "ServerSideEncryptionConfigurationNotFoundError",
	"lifecycle":         "NoSuchLifecycleConfiguration",
	"object-lock":       "ObjectLockConfigurationNotFoundError",
	"ownershipControls": "OwnershipControlsNotFoundError",
	"policy":            "NoSuchBucketPolicy",
	"publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
	"replication":       "ReplicationConfigurationNotFoundError",
	"tagging":           "NoSuchTagSet",
	"website":           "NoSuchWebsiteConfiguration",

	"accelerate":     `<AccelerateConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>`,
	"acl":            `<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>test</ID></Owner><AccessControlList/></AccessControlPolicy>`,
	"logging":        `<BucketLoggingStatus xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>`,
	"requestPayment": `<RequestPaymentConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Payer>BucketOwner</Payer></RequestPaymentConfiguration>`,
	"versioning":     `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>`,
}

// setting is the parameter of a request about a bucket's setting, or nothing.
func setting(query url.Values) string {
	for name := range query {
		if _, ok := unset[name]; ok {
			return name
		}
	}
	return ""
}

func (s *settings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	name := setting(r.URL.Query())
	if bucket == "" || key != "" || name == "" {
		s.gateway.ServeHTTP(w, r)
		if bucket != "" && key == "" && r.Method == http.MethodDelete && !s.exists(bucket) {
			s.forget(bucket)
		}
		return
	}
	if !s.exists(bucket) {
		refuse(w, "NoSuchBucket")
		return
	}
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		s.keep(bucket, name, &document{body: body, minimumSize: r.Header.Get(minimumSizeHeader)})
	case http.MethodDelete:
		s.keep(bucket, name, nil)
		w.WriteHeader(http.StatusNoContent)
	default:
		s.read(w, bucket, name)
	}
}

func (s *settings) exists(bucket string) bool {
	_, err := os.Stat(filepath.Join(s.root, filepath.Base(bucket)))
	return err == nil
}

func (s *settings) forget(bucket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, bucket)
}

func (s *settings) keep(bucket, name string, d *document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[bucket] == nil {
		s.kept[bucket] = map[string]document{}
	}
	delete(s.kept[bucket], name)
	if d != nil {
		s.kept[bucket][name] = *d
	}
}

func (s *settings) read(w http.ResponseWriter, bucket, name string) {
	s.mu.Lock()
	d, ok := s.kept[bucket][name]
	s.mu.Unlock()
	if !ok && !strings.HasPrefix(unset[name], "<") {
		refuse(w, unset[name])
		return
	}
	if !ok {
		d.body = []byte(unset[name])
	}
	if d.minimumSize != "" {
		w.Header().Set(minimumSizeHeader, d.minimumSize)
	}
	kind := "application/xml"
	if name == "policy" {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(d.body) // the client may be gone
}

func refuse(w http.ResponseWriter, code string) {
	body, _ := xml.Marshal(struct { // of two strings, which never fails
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: "the stand-in has none"})
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(body) // the client may be gone
}
