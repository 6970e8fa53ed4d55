package rewrite

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
)

// Login is a name and a password at a registry. The zero value stands for one that is not known.
type Login struct {
	Username, Password string
}

// What a registry Secret has in place of a login.
const (
	PlaceholderUsername = "REPLACE-WITH-USERNAME"
	PlaceholderPassword = "REPLACE-WITH-PASSWORD"
)

// RegistrySecret returns a Secret of the type kubernetes.io/dockerconfigjson with the login, or, when it is the zero
// value, with placeholders to fill in.
func RegistrySecret(secret, namespace string, registry name.Registry, login Login) (Object, error) {
	o := newSecret(secret, namespace)
	if err := errors.Join(checkName("Secret", secret), checkNamespace(namespace)); err != nil {
		return o, err
	}
	host := registry.RegistryStr()
	if host == name.DefaultRegistry {
		host = "https://index.docker.io/v1/" // as docker login writes it
	}
	type auth struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	config, err := json.Marshal(map[string]map[string]auth{"auths": {host: {
		cmp.Or(login.Username, PlaceholderUsername), cmp.Or(login.Password, PlaceholderPassword),
	}}})
	o.Type, o.StringData = "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": string(config)}
	o.Skeleton = login == Login{}
	return o, err
}

func newSecret(name, namespace string) Object {
	return Object{APIVersion: "v1", Kind: "Secret", Metadata: Metadata{Name: name, Namespace: namespace}}
}

// SecretExport returns the object by which secretgen-controller offers the Secret to every namespace, and fills
// with it the placeholders that kapp-controller makes.
func SecretExport(secret, namespace string) (Object, error) {
	o := Object{APIVersion: "secretgen.carvel.dev/v1alpha1", Kind: "SecretExport", Metadata: Metadata{Name: secret, Namespace: namespace}}
	o.Spec = map[string][]string{"toNamespaces": {"*"}}
	return o, errors.Join(checkName("SecretExport", secret), checkNamespace(namespace))
}

// ControllerNamespace is where kapp-controller's own release runs it.
const ControllerNamespace = "kapp-controller"

// ControllerConfig is the name of the Secret that kapp-controller reads its configuration from.
const ControllerConfig = "kapp-controller-config"

// CAConfig returns the Secret from which kapp-controller, in namespace, takes the CA certificates that it trusts
// beside the system's. It is an error when bundle has no certificate, or anything else: a private key is
// not for the cluster.
func CAConfig(namespace string, bundle []byte) (Object, error) {
	o := newSecret(ControllerConfig, namespace)
	if err := checkNamespace(namespace); err != nil {
		return o, err
	}
	text, err := certificates(bundle)
	o.StringData = map[string]string{"caCerts": string(text)}
	return o, err
}

// certificates returns the certificates of a PEM file, without what is written between them.
func certificates(file []byte) ([]byte, error) {
	var out bytes.Buffer
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the file of CA certificates has a %q, too", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("the file of CA certificates: %w", err)
		}
		block.Headers = nil
		if err := pem.Encode(&out, block); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("the file of CA certificates has no certificate (PEM)")
	}
	return out.Bytes(), nil
}
