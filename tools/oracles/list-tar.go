// Lists tar archives as Go's archive/tar reads them, which containerd, umoci and podman are built on.
//
// usage: list-tar < PATHS
//
// Takes a path a line and gives a JSON object a line. Names are byte strings, one character a byte.
package main

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path"
	"strings"
)

const xattrPrefix = "SCHILY.xattr."

// Holes cost no bytes: a file of a header could take hours to hash.
const hashedBytes = 512 << 20

type record struct {
	Name        string            `json:"name"`
	Clean       string            `json:"clean"`
	Type        string            `json:"type"`
	LinkTarget  string            `json:"linkTarget"`
	Mode        int64             `json:"mode"`
	UID         int               `json:"uid"`
	GID         int               `json:"gid"`
	Size        int64             `json:"size"`
	Seconds     int64             `json:"seconds"`
	Nanoseconds int               `json:"nanoseconds"`
	DeviceMajor int64             `json:"deviceMajor"`
	DeviceMinor int64             `json:"deviceMinor"`
	Xattrs      map[string]string `json:"xattrs"`
	SHA256      string            `json:"sha256"`
}

type listing struct {
	Entries []record `json:"entries"`
	// What the reader said when it broke off.
	Error string `json:"error,omitempty"`
}

func text(bytes string) string {
	var out strings.Builder
	for index := 0; index < len(bytes); index++ {
		out.WriteRune(rune(bytes[index]))
	}
	return out.String()
}

func describe(header *tar.Header) record {
	xattrs := map[string]string{}
	for key, value := range header.PAXRecords {
		if strings.HasPrefix(key, xattrPrefix) {
			xattrs[text(key[len(xattrPrefix):])] = hex.EncodeToString([]byte(value))
		}
	}
	return record{
		Name:        text(header.Name),
		Clean:       text(strings.TrimPrefix(path.Clean("/"+header.Name), "/")),
		Type:        text(string([]byte{header.Typeflag})),
		LinkTarget:  text(header.Linkname),
		Mode:        header.Mode & 07777,
		UID:         header.Uid,
		GID:         header.Gid,
		Size:        header.Size,
		Seconds:     header.ModTime.Unix(),
		Nanoseconds: header.ModTime.Nanosecond(),
		DeviceMajor: header.Devmajor,
		DeviceMinor: header.Devminor,
		Xattrs:      xattrs,
	}
}

func list(name string) listing {
	result := listing{Entries: []record{}}
	file, err := os.Open(name)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	reader := tar.NewReader(bufio.NewReader(file))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return result
		}
		if err != nil {
			result.Error = err.Error()
			return result
		}
		entry := describe(header)
		if header.Size > hashedBytes {
			result.Entries = append(result.Entries, entry)
			continue
		}
		hash := sha256.New()
		_, err = io.Copy(hash, reader)
		entry.SHA256 = hex.EncodeToString(hash.Sum(nil))
		result.Entries = append(result.Entries, entry)
		if err != nil {
			result.Error = err.Error()
			return result
		}
	}
}

func main() {
	paths := bufio.NewScanner(os.Stdin)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	encoder := json.NewEncoder(output)
	for paths.Scan() {
		if err := encoder.Encode(list(paths.Text())); err != nil {
			panic(err)
		}
	}
}
