/* Time zones: a place's offset from UTC.
 *
 * A zone is a name of the IANA database ("Europe/Paris"), read from the
 * system's files (TZif, RFC 8536), or an offset ("+02:00", "-0330", "UTC"). */
#ifndef FLOTILLA_BASE_ZONE_H
#define FLOTILLA_BASE_ZONE_H

#include <flotilla/base.h>

struct flo_zone;

/* Opens the zone of this name.  Returns FLO_E_ABSENT when the system has no
 * such zone.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_zone_open(const char *name, struct flo_zone **out, struct flo_err *err);
/* Parses the bytes of a TZif file.  Returns FLO_E_META_SCHEMA when they are
 * malformed. */
FLO_MUST_USE int flo_zone_parse(const uint8_t *data, size_t bytes, struct flo_zone **out,
                                struct flo_err *err);
void flo_zone_close(struct flo_zone *zone);

/* Returns how many seconds the zone is ahead of UTC at that moment. */
int32_t flo_zone_offset_s(const struct flo_zone *zone, uint64_t wall_ms);

/* Parses an offset: "+02:00" "-0330" "UTC" "Z".  Returns false for any other
 * text. */
bool flo_zone_offset_parse(const char *text, int32_t *offset_s);
/* Writes an offset as "+02:00" to `out`, which holds 8 bytes. */
void flo_zone_offset_text(int32_t offset_s, char *out);

/* Bytes of a zone's name or offset, with its NUL. */
#define FLO_ZONE_TEXT 48
/* Writes the zone of this machine to `out`, which holds FLO_ZONE_TEXT: its name
 * if the system knows one, else its offset. */
void flo_zone_of_system(char *out);

#endif
