/* The dashboard's files, made into the program from server-stub/web/ by
 * cmake/embed.cmake. */
#ifndef FLOTILLA_SERVER_WEB_H
#define FLOTILLA_SERVER_WEB_H

#include <stddef.h>

struct flo_web_file {
    const char *path; /* "index.html", "lib/chart.js" */
    const unsigned char *data;
    size_t bytes;
};
extern const struct flo_web_file flo_web_files[]; /* path NULL ends it */

#endif
