/* Web: the dashboard's files and the OpenAPI document, embedded into the program
 * by cmake/embed.cmake.  The dashboard's are in server-stub/web/ and base/web/. */
#ifndef FLOTILLA_SERVER_WEB_H
#define FLOTILLA_SERVER_WEB_H

#include "base/host/web.h"

/* the files; the last item has the path NULL */
extern const struct flo_web_file flo_web_files[];

/* Answers people with the file at `path`; "" is index.html.  Devices get
 * FLO_E_REST_NOT_FOUND. */
void flo_web_show(struct flo_httpd_request *request, const char *path);

#endif
