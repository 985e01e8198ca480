/* TLS reload: HTTP server listeners read their TLS files again. */
#include "base/host/httpd/connection.h"

int flo_httpd_tls_again(struct flo_httpd *httpd, int tag, bool ends, struct flo_err *err)
{
    struct httpd_listener *listener = httpd->listeners;

    for (; listener != NULL; listener = listener->next) {
        SSL_CTX *context;
        if (listener->tag != tag || listener->tls == NULL) {
            continue;
        }
        int rv = flo_httpd_tls_make(&listener->files, &context, err);
        FLO_TRY(rv);
        /* open connections keep the old TLS settings by references of their
         * own */
        SSL_CTX_free(listener->tls);
        listener->tls = context;
        if (ends) {
            flo_httpd_connections_check(listener);
        }
    }
    return 0;
}
