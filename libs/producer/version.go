package producer

import (
	"runtime/debug"
	"sync"
)

const modulePath = "github.com/streamhouse/streamhouse/libs/producer"

// userAgent names this library and its version to agents and proxies. gRPC adds
// its own.
var userAgent = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return "streamhouse-producer-go/" + versionIn(info)
})

// versionIn is this module's version in a program: "devel" where it was built
// from a directory.
func versionIn(info *debug.BuildInfo) string {
	if info == nil {
		return "devel"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == modulePath && m.Replace == nil && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	return "devel"
}
