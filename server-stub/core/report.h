/* Report: the log or the diagnosis that an order asked a device for.  Pure.
 *
 * A stolen device may send anything.  People see only the expected fields, each
 * checked for its type and size.  Format: docs/internals/contracts/messages.md
 * section 8.9. */
#ifndef FLOTILLA_SERVER_REPORT_H
#define FLOTILLA_SERVER_REPORT_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#define FLO_REPORT_BYTES_MAX ((size_t)256 << 10) /* as it comes */
#define FLO_REPORT_LINES_MAX 4000
#define FLO_REPORT_LINE_BYTES_MAX 1024
#define FLO_REPORT_FINDINGS_MAX 64
#define FLO_REPORT_FACTS_MAX 128

/* Reads the part of a report that people see, for an order of this kind; *out
 * is a new reference.  FLO_E_REST_SCHEMA: it is no report, is of another kind,
 * or is too long. */
FLO_MUST_USE int flo_report_read(const json_t *in, const char *op, json_t **out,
                                 struct flo_err *err);

#endif
