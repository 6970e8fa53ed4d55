package serve_test

import (
	"fmt"
	"log"
	"net/http/httptest"

	"relocate/registry/serve"
)

// A handler over archives, of which there are none here. relocate.Serve opens archives and listens.
func ExampleHandler() {
	server := httptest.NewServer(serve.Handler(serve.NewArchives(), serve.Options{}))
	defer server.Close()
	answer, err := server.Client().Get(server.URL + "/v2/")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	answer, err = server.Client().Post(server.URL+"/v2/app/blobs/uploads/", "", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	// Output:
	// 200 OK
	// 405 Method Not Allowed
}
