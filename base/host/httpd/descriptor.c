/* HTTP descriptor: the socket of a request's connection, for those who ask the
 * kernel about the client. */
#include "base/host/httpd/connection.h"

int flo_httpd_descriptor(const struct flo_httpd_request *request)
{
    return bufferevent_getfd(request->connection->bev);
}
