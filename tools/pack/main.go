// Command pack writes the modules of this repository, as a release would
// publish them, into a folder that GOPROXY=file://<folder> can name. It prints
// the version under which it packed them.
//
//	pack <root of the repository> <folder>
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack <root of the repository> <folder>")
		os.Exit(2)
	}
	version, err := pack(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
	fmt.Println(version)
}
