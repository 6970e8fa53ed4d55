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

// Login is a name and a password at a registry. The zero value is an unknown login.
type Login struct {
	Username, Password string
}

// Placeholders of a Secret without a login, or without the place of an archive.
const (
	placeholderUsername = "REPLACE-WITH-USERNAME"
	placeholderPassword = "REPLACE-WITH-PASSWORD"
	placeholderURL      = "REPLACE-WITH-URL"
	placeholderHeaders  = "REPLACE-WITH-HEADERS"
	placeholderKey      = "REPLACE-WITH-RECEIPT-KEY"
)

var placeholders = []string{placeholderUsername, placeholderPassword, placeholderURL, placeholderHeaders, placeholderKey}

// registrySecret returns a Secret of the type kubernetes.io/dockerconfigjson with the login. The
// zero login gets placeholders.
func registrySecret(secret, namespace string, registry name.Registry, login Login) (object, error) {
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
		cmp.Or(login.Username, placeholderUsername), cmp.Or(login.Password, placeholderPassword),
	}}})
	o.Type, o.StringData = "kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": string(config)}
	o.skeleton = login == Login{}
	return o, err
}

func newSecret(name, namespace string) object {
	return object{APIVersion: "v1", Kind: "Secret", Metadata: metadata{Name: name, Namespace: namespace}}
}

// secretExport returns the object by which secretgen-controller offers the Secret to every
// namespace, and fills the placeholders that kapp-controller makes.
func secretExport(secret, namespace string) (object, error) {
	o := object{APIVersion: "secretgen.carvel.dev/v1alpha1", Kind: "SecretExport", Metadata: metadata{Name: secret, Namespace: namespace}}
	o.Spec = map[string][]string{"toNamespaces": {"*"}}
	return o, errors.Join(checkName("SecretExport", secret), checkNamespace(namespace))
}

// ControllerNamespace is where kapp-controller's own release runs it.
const ControllerNamespace = "kapp-controller"

// controllerConfig is the name of the Secret that kapp-controller reads its configuration from.
const controllerConfig = "kapp-controller-config"

// caConfig returns the Secret from which kapp-controller, in namespace, reads the CA certificates
// that it trusts beside the system's. A file with anything else is an error: a private key is not
// for the cluster.
func caConfig(namespace string, file []byte) (object, error) {
	o := newSecret(controllerConfig, namespace)
	if err := checkNamespace(namespace); err != nil {
		return o, err
	}
	text, err := certificates(file)
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
			return nil, fmt.Errorf("PEM block %q is not a certificate", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, err
		}
		block.Headers = nil
		if err := pem.Encode(&out, block); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("no certificate (PEM) found")
	}
	return out.Bytes(), nil
}
