package producer

import (
	"runtime/debug"
	"testing"
)

// The version is the one that the program's module list names.
func TestVersionInBuildInfo(t *testing.T) {
	other := &debug.Module{Path: "example.com/other", Version: "v9.9.9"}
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.3": {Main: *other, Deps: []*debug.Module{other, {Path: modulePath, Version: "v1.2.3"}}},
		"v1.2.4": {Main: debug.Module{Path: modulePath, Version: "v1.2.4"}, Deps: []*debug.Module{other}},
		"devel":  {Main: *other, Deps: []*debug.Module{{Path: modulePath, Version: "v0.1.0", Replace: &debug.Module{Path: "../producer"}}}},
	} {
		if got := versionIn(info); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, info := range []*debug.BuildInfo{nil, {}, {Main: debug.Module{Path: modulePath, Version: "(devel)"}}} {
		if got := versionIn(info); got != "devel" {
			t.Errorf("got %s, want devel", got)
		}
	}
}
