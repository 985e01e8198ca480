/* Static files of a page, made into the program by cmake/embed.cmake.
 *
 * They hold no secret, so a server may give them to everybody.  Each answer
 * has an ETag, and headers by which a browser loads scripts, styles and
 * answers from this server alone and shows the page in no frame. */
#ifndef FLOTILLA_HOST_WEB_H
#define FLOTILLA_HOST_WEB_H

#include "base/host/httpd.h"

struct flo_web_file {
    const char *path; /* "index.html", "parts/html.js" */
    const unsigned char *data;
    size_t bytes;
};

/* Answer with the file of that path; "" or NULL: index.html.  `files` ends with
 * a path NULL.  false: there is none, and nothing was answered. */
bool flo_web_answer(struct flo_httpd_request *request, const struct flo_web_file *files,
                    const char *path);

#endif
