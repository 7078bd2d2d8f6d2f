package s3

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A bucket's settings come back as they were set, go with the bucket, and are no
// other's; all other requests are the gateway's.
func TestSettings(t *testing.T) {
	root := t.TempDir()
	gateway := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			_ = os.Remove(filepath.Join(root, r.URL.Path))
		}
		w.WriteHeader(http.StatusTeapot)
	})
	s := &settings{gateway: gateway, root: root, kept: map[string]map[string]document{}}
	want := func(method, path, body string, status int, says string) {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set(minimumSizeHeader, "all")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != status || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s %s: %d %q, want %d with %q", method, path, w.Code, w.Body, status, says)
		}
		if got := w.Header().Get(minimumSizeHeader); says == "a rule" && got != "all" {
			t.Errorf("%s %s: the header is %q", method, path, got)
		}
	}
	create := func(bucket string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(root, bucket), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want("GET", "/one?lifecycle", "", http.StatusNotFound, "NoSuchBucket")
	create("one")
	create("two")
	want("GET", "/one?lifecycle", "", http.StatusNotFound, "NoSuchLifecycleConfiguration")
	want("GET", "/one?versioning", "", http.StatusOK, "VersioningConfiguration")
	want("PUT", "/one?lifecycle", "a rule", http.StatusOK, "")
	want("GET", "/one?lifecycle", "", http.StatusOK, "a rule")
	want("GET", "/two?lifecycle", "", http.StatusNotFound, "NoSuchLifecycleConfiguration")
	want("PUT", "/one?policy", "a policy", http.StatusOK, "")
	want("DELETE", "/one?policy", "", http.StatusNoContent, "")
	want("GET", "/one?policy", "", http.StatusNotFound, "NoSuchBucketPolicy")
	for _, path := range []string{"/", "/one", "/one?list-type=2", "/one/key?tagging", "/one?versions"} {
		want("GET", path, "", http.StatusTeapot, "")
	}
	want("DELETE", "/one", "", http.StatusTeapot, "")
	create("one")
	want("GET", "/one?lifecycle", "", http.StatusNotFound, "NoSuchLifecycleConfiguration")
}
