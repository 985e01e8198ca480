/* Web files: static files of a page, embedded in the program by
 * cmake/embed.cmake.
 *
 * The files hold no secret, so a server may give them to everybody.  Each
 * answer has an ETag.  Its headers let a browser load scripts, styles and data
 * from this server alone, and forbid showing the page in a frame. */
#ifndef FLOTILLA_HOST_WEB_H
#define FLOTILLA_HOST_WEB_H

#include "base/host/httpd.h"

struct flo_web_file {
    const char *path; /* path below the page, such as "index.html" or "parts/html.js" */
    const unsigned char *data;
    size_t bytes;
};

/* Answers with the file of that path; "" or NULL means index.html.  `files`
 * ends with a path NULL.  Returns false when there is no such file; then the
 * request is not answered. */
bool flo_web_answer(struct flo_httpd_request *request, const struct flo_web_file *files,
                    const char *path);

#endif
