/* Time zones: a place's offset from UTC.
 *
 * A zone is a name of the IANA database ("Europe/Paris"), read from the
 * system's files (TZif, RFC 8536), or an offset ("+02:00", "-0330", "UTC"). */
#ifndef FLOTILLA_BASE_ZONE_H
#define FLOTILLA_BASE_ZONE_H

#include <flotilla/base.h>

struct flo_zone;

/* FLO_E_ABSENT: the system has no such zone.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_zone_open(const char *name, struct flo_zone **out, struct flo_err *err);
/* Parses the bytes of a TZif file.  FLO_E_META_SCHEMA: they are malformed. */
FLO_MUST_USE int flo_zone_parse(const uint8_t *data, size_t bytes, struct flo_zone **out,
                                struct flo_err *err);
void flo_zone_close(struct flo_zone *zone);

/* Seconds ahead of UTC at that moment. */
int32_t flo_zone_offset_s(const struct flo_zone *zone, uint64_t wall_ms);

/* Parses "+02:00" "-0330" "UTC" "Z"; false: not an offset. */
bool flo_zone_offset_parse(const char *text, int32_t *offset_s);
/* Writes "+02:00"; `out` holds 8. */
void flo_zone_offset_text(int32_t offset_s, char *out);

/* The zone of this machine: its name where the system knows one, else its
 * offset.  `out` holds FLO_ZONE_TEXT. */
#define FLO_ZONE_TEXT 48
void flo_zone_of_system(char *out);

#endif
