/* MQTT 5, as much of it as a device uses. */
#include <string.h>

#include "tests/fleet/fleet.h"

#define KEEPALIVE_S 60
#define SESSION_S 0 /* as the agent: none outlives its connection */
#define IN_FLIGHT_MAX 64

#define PROPERTY_SESSION_EXPIRY 0x11
#define PROPERTY_RECEIVE_MAXIMUM 0x21

/* ---- reading ---- */

/* 0: it is not all there; -1: it is none. */
static int varint_read(const uint8_t *data, size_t bytes, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < 4; i++) {
        if (i == bytes) {
            return 0;
        }
        *out |= (uint32_t)(data[i] & 127) << (7 * i);
        if (data[i] < 128) {
            return (int)i + 1;
        }
    }
    return -1;
}

int fleet_packet_read(const uint8_t *data, size_t bytes, struct fleet_packet *out)
{
    uint32_t body_bytes;
    int head = bytes < 2 ? 0 : varint_read(data + 1, bytes - 1, &body_bytes);

    if (head <= 0) {
        return head;
    }
    out->kind = data[0];
    out->body = data + 1 + head;
    out->body_bytes = body_bytes;
    out->bytes = 1 + (size_t)head + body_bytes;
    return out->bytes <= bytes;
}

const uint8_t *fleet_properties_end(const uint8_t *at, const uint8_t *end)
{
    uint32_t properties;
    int head = at < end ? varint_read(at, (size_t)(end - at), &properties) : -1;

    if (head <= 0 || (size_t)(end - at - head) < properties) {
        return NULL;
    }
    return at + head + properties;
}

/* Bytes of a property's value; 0: there is none of that name. */
static size_t value_bytes(uint8_t name, const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);

    switch (name) {
    case 0x24: /* QoS, and what is there */
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2a:
        return 1;
    case 0x13: /* keepalive, aliases */
    case 0x22:
    case PROPERTY_RECEIVE_MAXIMUM:
        return 2;
    case PROPERTY_SESSION_EXPIRY:
    case 0x27: /* largest packet */
        return 4;
    case 0x12: /* texts */
    case 0x15:
    case 0x16:
    case 0x1a:
    case 0x1c:
    case 0x1f:
        return left < 2 ? 0 : 2 + ((size_t)at[0] << 8 | at[1]);
    default:
        return 0;
    }
}

unsigned fleet_receive_maximum(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *stop = fleet_properties_end(at, end);
    uint32_t properties;

    if (stop == NULL) {
        return UINT16_MAX;
    }
    at += varint_read(at, (size_t)(end - at), &properties);
    while (at < stop) {
        size_t bytes = value_bytes(at[0], at + 1, stop);
        if (bytes == 0 || (size_t)(stop - at) < 1 + bytes) {
            break;
        }
        if (at[0] == PROPERTY_RECEIVE_MAXIMUM) {
            return (unsigned)at[1] << 8 | at[2];
        }
        at += 1 + bytes;
    }
    return UINT16_MAX;
}

/* ---- writing ---- */

static void add_8(struct flo_buf *out, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    flo_buf_add(out, &byte, 1);
}

static void add_16(struct flo_buf *out, unsigned value)
{
    add_8(out, value >> 8);
    add_8(out, value & 255);
}

static void add_32(struct flo_buf *out, uint32_t value)
{
    add_16(out, value >> 16);
    add_16(out, value & 65535);
}

static void add_text(struct flo_buf *out, const char *text)
{
    size_t bytes = strlen(text);

    add_16(out, (unsigned)bytes);
    flo_buf_add(out, text, bytes);
}

static void add_head(struct flo_buf *out, unsigned kind, size_t body_bytes)
{
    add_8(out, kind);
    do {
        unsigned digit = body_bytes & 127;
        body_bytes >>= 7;
        add_8(out, digit | (body_bytes > 0 ? 128 : 0));
    } while (body_bytes > 0);
}

void fleet_packet_connect(struct flo_buf *out, const char *id, const char *will_topic,
                          const char *will)
{
    /* will: retained, QoS 1; a new session; the certificate says who it is */
    static const unsigned flags = 0x20 | 0x08 | 0x04 | 0x02;
    static const unsigned properties = 5 + 3;

    add_head(out, 0x10,
             10 + 1 + properties + 2 + strlen(id) + 1 + 2 + strlen(will_topic) + 2 + strlen(will));
    add_text(out, "MQTT");
    add_8(out, 5);
    add_8(out, flags);
    add_16(out, KEEPALIVE_S);
    add_8(out, properties);
    add_8(out, PROPERTY_SESSION_EXPIRY);
    add_32(out, SESSION_S);
    add_8(out, PROPERTY_RECEIVE_MAXIMUM);
    add_16(out, IN_FLIGHT_MAX);
    add_text(out, id);
    add_8(out, 0); /* properties of the will */
    add_text(out, will_topic);
    add_text(out, will);
}

void fleet_packet_subscribe(struct flo_buf *out, uint16_t id, const char *const *filters,
                            size_t count)
{
    size_t bytes = 3;

    for (size_t i = 0; i < count; i++) {
        bytes += 2 + strlen(filters[i]) + 1;
    }
    add_head(out, 0x82, bytes);
    add_16(out, id);
    add_8(out, 0);
    for (size_t i = 0; i < count; i++) {
        add_text(out, filters[i]);
        add_8(out, 1);
    }
}

void fleet_packet_publish(struct flo_buf *out, uint16_t id, const char *topic, const void *data,
                          size_t bytes, bool is_retained)
{
    add_head(out, 0x32 | (is_retained ? 1 : 0), 2 + strlen(topic) + 2 + 1 + bytes);
    add_text(out, topic);
    add_16(out, id);
    add_8(out, 0);
    flo_buf_add(out, data, bytes);
}
