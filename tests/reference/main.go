// The reference: PocketBase as an ordinary dependency, for the tests that ask it what it makes of our data directory.
package main

import (
	"log"

	"github.com/pocketbase/pocketbase"
)

func main() {
	// Below a temporary directory it would choose its development mode, which prints every statement.
	server := pocketbase.NewWithConfig(pocketbase.Config{DefaultDev: false})
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
}
