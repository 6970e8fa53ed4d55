package serve_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	"relocate/registry/serve"
)

// A handler over a store without archives. relocate.Serve opens archives and listens.
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

// A server listens until its context ends. This one makes its own certificate.
func ExampleServer() {
	certificate, ca, err := serve.NewCertificate([]string{"127.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &serve.Server{Store: serve.NewArchives(), Certificates: []tls.Certificate{certificate}}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- server.Serve(ctx, listener) }()

	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	answer, err := client.Get("https://" + listener.Addr().String() + "/healthz")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	stop()
	fmt.Println(<-stopped)
	// Output:
	// 200 OK
	// <nil>
}
