// Command app is the program in the sample's images: it greets, as the Carvel tutorial's simple-app
// does, and says which release it is of.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

// releaseFile is a layer of its own, so that images of all releases share the one with the program.
const releaseFile = "/etc/app-release"

func main() {
	server := &http.Server{
		Addr:              ":" + cmp.Or(os.Getenv("APP_PORT"), "8080"),
		ReadHeaderTimeout: 10 * time.Second,
		Handler:           greeting(cmp.Or(os.Getenv("HELLO_MSG"), "stranger"), release()),
	}
	log.Fatal(server.ListenAndServe())
}

func greeting(who, release string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "Hello %s! This is %s.\n", who, release) // a client that left needs no answer
	}
}

func release() string {
	text, err := os.ReadFile(releaseFile)
	if err != nil {
		return "a release without a name"
	}
	return strings.TrimSpace(string(text))
}
