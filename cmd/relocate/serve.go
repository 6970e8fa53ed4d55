package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"relocate"
	"relocate/internal/outfile"
	"relocate/oci"
	"relocate/registry/serve"
	"relocate/report"
	"relocate/rewrite"
	"relocate/tarball"
)

// serveFlags are the flags of serve.
type serveFlags struct {
	volumes          []string // folders
	listen, as       string
	noOrigins        bool
	bases            []string
	cert, key        string
	selfSigned       bool
	tlsNames         []string
	writeCA          string
	htpasswd         string
	trust            trustFlags
	archives         archiveFlags
	insecure         bool
	log              string
	format           format
	stdout, errorOut io.Writer
}

// What --log takes.
const (
	logRequests = "requests"
	logErrors   = "errors"
	logNone     = "none"
)

func newServe() *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve FILE...",
		Short: "Serve archives as a read-only registry",
		Long: `serve runs a read-only registry with the content of archives of relocate or
imgpkg, without unpacking them. Images have two names:

  as imported   the repository that an import would fill, in which
                kapp-controller and imgpkg find everything
  as a mirror   the path of each image at its source, without the host:
                library/nginx for docker.io/library/nginx. containerd and CRI-O
                ask a mirror for that path

serve checks everything except layers before it starts to listen. It hashes
layers while it sends them, and closes the connection before the end of a
damaged one. On Ctrl-C or SIGTERM it finishes the requests in progress, for at
most 30 s, and stops.

serve listens on loopback by default. Other addresses need TLS. With
--tls-self-signed it makes a new certificate at each start, for the names of
this machine and those of --tls-name; to serve for more than a day, provide your
own. /healthz answers 200 while the archives are unchanged.

` + statusHelp,
		Example: `  relocate serve tce.tar
  relocate serve tce.tar extra.tar --as tce/main --listen 0.0.0.0:5000 \
    --tls-self-signed --tls-write-ca ca.pem
  imgpkg pull -b localhost:5000/tce/main@sha256:1c2f… -o out`,
		Args: archiveArgs(func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name an archive")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.stdout, f.errorOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return f.run(cmd.Context(), args)
		},
	}
	group(cmd, "Flags", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.listen, "listen", "127.0.0.1:5000", "listen at `HOST:PORT`; port 0 chooses a free port")
		addFolders(flags, &f.volumes)
		flags.StringVar(&f.as, "as", "", "serve everything as imported into the repository `PATH` (default: the path of the root at its source)")
		flags.StringArrayVar(&f.bases, "base", nil, "take layers that the archives assume from the archive `FILE`, which is not served itself (repeatable)")
		flags.BoolVar(&f.noOrigins, "no-origins", false, "serve images as imported only, not as a mirror")
		f.trust.add(flags)
		flags.StringVar(&f.log, "log", logRequests, "log `WHAT` to standard error: requests, errors (unreadable or damaged content) or none")
		addFormat(flags, &f.format)
	})
	group(cmd, "TLS and logins", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.cert, "tls-cert", "", "use TLS with the certificates in `FILE` (PEM)")
		flags.StringVar(&f.key, "tls-key", "", "read the key of the certificate from `FILE` (PEM)")
		flags.BoolVar(&f.selfSigned, "tls-self-signed", false, "use TLS with a certificate made for this run")
		flags.StringSliceVar(&f.tlsNames, "tls-name", nil, "add the host `NAME` or IP address to the self-signed certificate (repeatable)")
		flags.StringVar(&f.writeCA, "tls-write-ca", "", "write the CA of the self-signed certificate to `FILE` (PEM), for clients to trust")
		flags.StringVar(&f.htpasswd, "htpasswd", "", "require a login that is in `FILE`, which has bcrypt hashes (htpasswd -B)")
		flags.BoolVar(&f.insecure, "insecure", false, "listen for other machines without TLS: others on the network can read and change the traffic, including passwords")
	})
	f.archives.addTo(cmd, func(args []string) bool { return len(args) == 0 })
	return cmd
}

// check rejects command lines that make no sense.
func (f *serveFlags) check() error {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return usagef("--listen %s: write HOST:PORT, as in 127.0.0.1:5000", f.listen)
	}
	return firstWrong(append(f.tlsChecks(host),
		check{f.as != "" && !oci.IsRuntimePath(f.as), "--as " + f.as + ": must be a path without a registry: lower-case names between single slashes, as in tce/main"},
		oneOf("--log", f.log, logRequests, logErrors, logNone))...)
}

// tlsChecks are about TLS at host.
func (f *serveFlags) tlsChecks(host string) []check {
	cert, tls := f.cert != "", f.cert != "" || f.selfSigned
	wrong := strings.Join(slices.DeleteFunc(slices.Clone(f.tlsNames), isHost), ", ")
	return append([]check{
		together("--tls-cert", cert, "--tls-key", f.key != ""),
		exclusive("--tls-cert", cert, "--tls-self-signed", f.selfSigned),
		{f.insecure && tls, "--insecure means no TLS: leave it out, or leave out the certificate"},
		{wrong != "", "--tls-name " + wrong + ": must be a host name or an IP address, without scheme and port"},
		{!tls && !f.insecure && !isLoopback(host), "--listen " + f.listen + ": other machines could connect without TLS: give --tls-cert and --tls-key, or --tls-self-signed; --insecure allows it"},
	}, onlyWith("--tls-self-signed", f.selfSigned, given{"--tls-write-ca", f.writeCA != ""}, given{"--tls-name", len(f.tlsNames) > 0})...)
}

// isHost reports whether a certificate can be for name.
func isHost(name string) bool {
	host := strings.TrimPrefix(name, "*.")
	return net.ParseIP(name) != nil || (host != "" && host == rewrite.DNSName(host))
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func (f *serveFlags) run(ctx context.Context, files []string) error {
	if err := errors.Join(f.check(), firstWrong(f.trust.checks(files...)...)); err != nil {
		return err
	}
	r := &servingReport{Version: reportVersion}
	server, err := f.server(r)
	if err != nil {
		return err
	}
	var archives []*tarball.Archive
	var signatures []*report.Signature
	for _, file := range files {
		a, signature, err := f.archives.openSigned(ctx, &f.trust, file, f.volumes...)
		if err != nil {
			return err
		}
		defer a.Close()
		archives, signatures = append(archives, a), append(signatures, signature)
	}
	bases, closeBases, err := f.archives.openAll(ctx, f.bases)
	if err != nil {
		return err
	}
	defer closeBases()
	return relocate.Serve(ctx, archives, relocate.ServeOptions{
		Bases:  bases,
		Listen: f.listen, Path: f.as, NoOrigins: f.noOrigins, Insecure: f.insecure, Server: server, Renderer: newRenderer(),
		Ready: func(at relocate.Serving) error {
			r.URL, r.Repositories = at.URL, at.Repositories
			for i, a := range archives {
				if err := r.add(files[i], a, signatures[i], at.Roots[i]); err != nil {
					return err
				}
			}
			return f.format.print(f.stdout, r, r.text)
		},
	})
}

func (f *serveFlags) passwords() (*serve.Passwords, error) {
	if f.htpasswd == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.htpasswd)
	if err != nil {
		return nil, err
	}
	passwords, err := serve.ReadPasswords(text)
	if err != nil {
		return nil, usagef("--htpasswd %s: %w", f.htpasswd, err)
	}
	return passwords, nil
}

// certificates reads or makes the certificates for TLS; without TLS it returns none.
func (f *serveFlags) certificates(r *servingReport) ([]tls.Certificate, error) {
	var cert tls.Certificate
	var err error
	switch {
	case f.cert != "":
		if cert, err = tls.LoadX509KeyPair(f.cert, f.key); err != nil {
			return nil, usagef("--tls-cert %s, --tls-key %s: %w", f.cert, f.key, err)
		}
	case f.selfSigned:
		var ca []byte
		if cert, ca, err = serve.NewCertificate(f.names()); err != nil {
			return nil, err
		}
		if f.writeCA != "" {
			if err := outfile.Write(f.writeCA, ca); err != nil {
				return nil, err
			}
			r.CA = f.writeCA
		}
	default:
		return nil, nil
	}
	r.Fingerprint = fmt.Sprintf("%x", sha256.Sum256(cert.Certificate[0]))
	return []tls.Certificate{cert}, nil
}

// names are what clients may call this registry: loopback, where it listens, and what --tls-name
// says.
func (f *serveFlags) names() []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, f.tlsNames...)
	host, _, _ := net.SplitHostPort(f.listen) // it was checked
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		if name, err := os.Hostname(); err == nil {
			names = append(names, name)
		}
		addrs, _ := net.InterfaceAddrs() // without them it has fewer names
		for _, addr := range addrs {
			if in, ok := addr.(*net.IPNet); ok {
				names = append(names, in.IP.String())
			}
		}
	} else {
		names = append(names, host)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// server is the registry without the archives.
func (f *serveFlags) server(r *servingReport) (s serve.Server, err error) {
	if s.Passwords, err = f.passwords(); err != nil {
		return s, err
	}
	if s.Certificates, err = f.certificates(r); err != nil {
		return s, err
	}
	out := log.New(f.errorOut, "", 0)
	if f.log == logRequests {
		s.Log = func(text string) { out.Println(line(text)) }
	}
	if f.log != logNone {
		s.Fault = func(request string, err error) { out.Println(line("relocate: " + request + ": " + err.Error())) }
	}
	return s, nil
}
