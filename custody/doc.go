// Package custody says who sealed an archive and who had it since: keys, signatures, and whom a site
// trusts. It reads and writes the formats of stock tools (cosign, ssh-keygen, openssl), so that no
// reader needs this program to check a signature.
//
// Start with ParseKey and Key.SignMessage to sign, with Trust and Trust.Verify to check. The package
// opens no file and no connection: callers hand it bytes, and everything that others wrote is refused
// when it is larger or deeper than it need be. What it proves is that the holder of a key signed
// those bytes, not that what they name is good: see docs/custody.md.
package custody
