// k6 with the module k6/x/realtime: everything that k6 does, and streams of changes that are read in Go.
//
//	go build -o k6 . && ./k6 run ../hold-sse.js
package main

import (
	"go.k6.io/k6/cmd"

	_ "github.com/headwater/headwater/loadtest/k6/realtime"
)

func main() {
	cmd.Execute()
}
