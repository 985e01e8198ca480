/* Broker texts: the ACL and the configuration, of our broker or of an external
 * one. */
#include <string.h>
#include <unistd.h>

#include "base/host/tls_ciphers.h"

#include "server-stub/mqtt/broker/process.h"
#include "server-stub/state/text_list.h"
#include "server-stub/state/trust/trust.h"

/* ---- ACL ---- */

/* Appends a rule of the ACL for a topic.  A placeholder for the device, as in
 * "d/{d}/desired", becomes %u, for which mosquitto puts the CN of the client
 * certificate.  Any other placeholder becomes +, which matches all names. */
static void acl_line(struct flo_buf *out, const char *fleet, const struct flo_topic_fact *fact)
{
    const char *brace = strchr(fact->path, '{');
    int before = brace != NULL ? (int)(brace - fact->path) : (int)strlen(fact->path);

    flo_buf_printf(out, "pattern %s flotilla/v1/%s/%.*s%s%s\n",
                   fact->is_device_writing ? "write" : "read", fleet, before, fact->path,
                   brace == NULL     ? ""
                   : brace[1] == 'd' ? "%u"
                                     : "+",
                   brace != NULL ? brace + 3 : "");
}

static int acl_retired(void *context, const struct flo_fleet_device *device)
{
    flo_text_list_add(context, device->id);
    return 0;
}

int flo_broker_acl_text(struct flo_controller *controller, struct flo_buf *out, struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {.online = -1, .only_retired = true};
    struct flo_text_list retired = {0};
    int rv = flo_fleet_device_list(controller->store, &filter, acl_retired, &retired, err);

    flo_buf_printf(out,
                   "# Made by flotilla-controller; edits are lost.\n"
                   "user controller\n"
                   "topic readwrite flotilla/v1/%s/#\n"
                   "topic read $SYS/#\n\n"
                   "user " FLO_LANE_CLIENT "\n"
                   "topic read flotilla/v1/%s/d/+/tele\n\n"
                   "user " FLO_EMERGENCY_CLIENT "\n"
                   "topic readwrite flotilla/v1/%s/c/emergency\n\n",
                   controller->fleet, controller->fleet, controller->fleet);
    for (size_t i = 0; i < retired.count; i++) {
        flo_buf_printf(out, "user %s\ntopic deny #\n\n", retired.items[i]);
    }
    for (int i = 0; i < FLO_TOPIC_COUNT; i++) {
        acl_line(out, controller->fleet, flo_topic_fact((enum flo_topic)i));
    }
    flo_text_list_clear(&retired);
    FLO_TRY(rv);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "ACL") : 0;
}

/* ---- configuration ---- */

/* Writes the text of mosquitto.conf.
 *
 * The broker stores nothing that a client could pile up.  For this, devices and
 * controllers use no QoS 2, no topic aliases, and no sessions that outlive
 * their connection; a QoS 2 message, for example, stays until its sender
 * releases it.  All messages in flight to a controller fit into its window of
 * 65,535.
 *
 * There is one listener, so its rights are the broker's: with rights per
 * listener, mosquitto 2.0.21 stores nothing for an offline session.  A busy
 * mosquitto disconnects clients with the highest keep-alive within a second, so
 * devices use 20 min at most. */
void flo_broker_config_text(struct flo_buf *text, uint16_t port, const char *host,
                            const struct flo_broker_places *places)
{
    flo_buf_printf(text, "# Made by flotilla-controller; edits are lost.\n"
                         "persistence false\n"
                         "log_dest stderr\n"
                         "log_type error\n"
                         "log_type warning\n"
                         "max_inflight_messages 0\n"
                         "max_queued_messages 0\n"
                         "max_queued_bytes 1048576\n"
                         "max_keepalive 3600\n"
                         "set_tcp_nodelay true\n"
                         "persistent_client_expiration 1h\n"
                         "max_packet_size 65536\n");
    if (geteuid() == 0) {
        /* mosquitto would drop root's rights; it keeps them here to read the
         * keys of the folder's owner */
        flo_buf_text(text, "user root\n");
    }
    flo_buf_printf(text,
                   "listener %u %s\n"
                   "max_qos 1\n"
                   "max_topic_alias 0\n"
                   "%s\n"
                   "certfile %s\nkeyfile %s\ncrlfile %s\n"
                   "tls_version tlsv1.2\n"
                   "ciphers " FLO_TLS_CIPHERS "\n"
                   "require_certificate true\n"
                   "use_identity_as_username true\n"
                   "use_username_as_clientid true\n"
                   "allow_anonymous false\n"
                   "%s\n",
                   port, host, places->authorities, places->certificate, places->key,
                   places->revoked, places->rights);
}
