/* TLS ciphers: the suites of TLS 1.2 that each end of a connection offers or
 * takes.
 *
 * Keys are new for each connection (ECDHE), and a record is encrypted and
 * authenticated in one step (GCM, ChaCha20).  TLS 1.3 has only such suites. */
#ifndef FLOTILLA_HOST_TLS_CIPHERS_H
#define FLOTILLA_HOST_TLS_CIPHERS_H

/* The list in OpenSSL's form, which curl, paho and mosquitto take, too. */
#define FLO_TLS_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

#endif
