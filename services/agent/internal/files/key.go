package files

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// objectSuffix ends the names of objects' files and of nothing else, so that
// the object a and the folder of the object a/b can stand side by side.
const objectSuffix = ".obj"

// maxName bounds a name within a key: file systems take 255 bytes.
const maxName = 255 - len(objectSuffix)

// placeOf returns the path of a key's file within the store's folder.
func placeOf(key string) (string, error) {
	folder, name, err := split(key)
	if err != nil {
		return "", err
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	return path.Join(objectFolder, folder, name+objectSuffix), nil
}

// split cuts a key, or a prefix of one, at its last slash, and checks the
// folder before it; "." stands for none.
func split(key string) (folder, name string, err error) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return ".", key, nil
	}
	folder, name = key[:i], key[i+1:]
	for part := range strings.SplitSeq(folder, "/") {
		if err := checkName(part); err != nil {
			return "", "", err
		}
		if strings.HasSuffix(part, objectSuffix) {
			return "", "", fmt.Errorf("invalid key: %q, before a slash, ends with %s, which this store keeps for objects", part, objectSuffix)
		}
	}
	return folder, name, nil
}

func checkName(name string) error {
	switch {
	case !fs.ValidPath(name) || name == ".":
		return fmt.Errorf("invalid key: %q in it is no name; give names joined by single slashes, no . or .. among them", name)
	case name[0] == '.':
		return fmt.Errorf("invalid key: the name %q begins with a dot", name)
	case len(name) > maxName:
		return fmt.Errorf("invalid key: it has a name of %d bytes, more than %d", len(name), maxName)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == '\\' {
			return fmt.Errorf("invalid key: the name %q has the character %q; give printable ASCII without spaces and backslashes", name, c)
		}
	}
	return nil
}
