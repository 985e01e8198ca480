/* OpenSSL: the part of its interface that the door uses (ssl.h and x509.h of
 * OpenSSL 3).  The broker is linked with it. */
#ifndef FLOTILLA_SERVER_GUARD_OPENSSL_H
#define FLOTILLA_SERVER_GUARD_OPENSSL_H

#define NID_commonName 13

int SSL_get_fd(const void *ssl);
int SSL_is_init_finished(const void *ssl);
void *SSL_get1_peer_certificate(const void *ssl);
void *X509_get_subject_name(const void *certificate);
int X509_NAME_get_text_by_NID(const void *name, int id, char *out, int bytes);
void X509_free(void *certificate);
/* Functions whose place the door takes. */
int SSL_read(void *ssl, void *out, int bytes);
int SSL_write(void *ssl, const void *data, int bytes);

#endif
