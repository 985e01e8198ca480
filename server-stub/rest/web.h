/* Web: the dashboard's files, embedded into the program from server-stub/web/
 * and base/web/ by cmake/embed.cmake. */
#ifndef FLOTILLA_SERVER_WEB_H
#define FLOTILLA_SERVER_WEB_H

#include "base/host/web.h"

/* the dashboard's files; the last item has the path NULL */
extern const struct flo_web_file flo_web_files[];

#endif
