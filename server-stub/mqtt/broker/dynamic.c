/* Broker with accounts: makes the roles and clients of mosquitto's dynamic-security
 * plugin.
 *
 * The plugin of mosquitto 2.0 has no placeholder for a client's name in a
 * topic, so each device has a role of its own.
 * DIR/broker/dynamic-security.json is for the broker's first start.  Later
 * the controller sends commands for each device, and the plugin maintains
 * its file. */
#include <string.h>
#include <unistd.h>

#include "server-stub/mqtt/broker/process.h"
#include "server-stub/state/text_list.h"
#include "server-stub/state/trust/trust.h"

#define CONTROL "$CONTROL/dynamic-security/#"

static void acl(struct flo_buf *out, const char *type, const char *fleet, const char *path)
{
    flo_buf_printf(out, "%s{\"acltype\":\"%s\",\"topic\":\"",
                   out->bytes > 0 && out->data[out->bytes - 1] == '}' ? "," : "", type);
    if (path[0] != '$') {
        flo_buf_printf(out, "flotilla/v1/%s/", fleet);
    }
    flo_buf_printf(out, "%s\",\"priority\":0,\"allow\":true}", path);
}

/* Appends the rights of one device, by the table of topics. */
static void device_acls(struct flo_buf *out, const char *fleet, const char *device)
{
    for (int i = 0; i < FLO_TOPIC_COUNT; i++) {
        const struct flo_topic_fact *fact = flo_topic_fact((enum flo_topic)i);
        const char *brace = strchr(fact->path, '{');
        char path[FLO_TOPIC_TEXT];
        snprintf(path, sizeof(path), "%.*s%s%s",
                 brace == NULL ? (int)strlen(fact->path) : (int)(brace - fact->path), fact->path,
                 brace == NULL     ? ""
                 : brace[1] == 'd' ? device
                                   : "+",
                 brace == NULL ? "" : brace + 3);
        acl(out, fact->is_device_writing ? "publishClientSend" : "subscribePattern", fleet, path);
    }
    acl(out, "subscribePattern", fleet, "c/+"); /* flo_topic_common */
}

static void role(struct flo_buf *out, const char *fleet, const char *device)
{
    flo_buf_printf(out, "\"rolename\":\"flotilla-%s\",\"acls\":[", device);
    device_acls(out, fleet, device);
    flo_buf_text(out, "]");
}

static void client(struct flo_buf *out, const char *name, const char *role)
{
    flo_buf_printf(out,
                   "\"username\":\"%s\",\"roles\":[{\"rolename\":\"flotilla-%s"
                   "\"}]",
                   name, role);
}

void flo_broker_account_text(const char *fleet, const char *device, struct flo_buf *out)
{
    flo_buf_text(out, "{\"commands\":[{\"command\":\"createRole\",");
    role(out, fleet, device);
    flo_buf_text(out, "},{\"command\":\"createClient\",");
    client(out, device, device);
    flo_buf_text(out, "}]}");
}

void flo_broker_account_gone_text(const char *device, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"commands\":[{\"command\":\"deleteClient\",\"username\":"
                   "\"%s\"},{\"command\":\"deleteRole\",\"rolename\":"
                   "\"flotilla-%s\"}]}",
                   device, device);
}

/* ---- the file of the first start ---- */

static const struct own {
    const char *client, *role;
    const char *sends[2], *hears[3];
} owns[] = {
    {"controller", "controller", {"#", CONTROL}, {"#", "$SYS/#", CONTROL}},
    {FLO_LANE_CLIENT, "lane", {NULL}, {"d/+/tele"}},
    {FLO_EMERGENCY_CLIENT, "emergency", {"c/emergency"}, {"c/emergency"}},
};

static void own_role(struct flo_buf *out, const char *fleet, const struct own *own)
{
    flo_buf_printf(out, "{\"rolename\":\"flotilla-%s\",\"acls\":[", own->role);
    for (size_t i = 0; i < FLO_COUNT(own->sends) && own->sends[i]; i++) {
        acl(out, "publishClientSend", fleet, own->sends[i]);
    }
    for (size_t i = 0; i < FLO_COUNT(own->hears) && own->hears[i]; i++) {
        acl(out, "subscribePattern", fleet, own->hears[i]);
    }
    flo_buf_text(out, "]}");
}

static int take_device(void *context, const struct flo_fleet_device *device)
{
    flo_text_list_add(context, device->id);
    return 0;
}

int flo_broker_accounts_text(struct flo_controller *controller, struct flo_buf *out,
                             struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {.online = -1};
    struct flo_text_list devices = {0};
    int rv = flo_fleet_device_list(controller->store, &filter, take_device, &devices, err);

    flo_buf_text(out, "{\"defaultACLAccess\":{\"publishClientSend\":false,"
                      "\"publishClientReceive\":true,\"subscribe\":false,"
                      "\"unsubscribe\":true},\"groups\":[],\"clients\":[");
    for (size_t i = 0; i < FLO_COUNT(owns); i++) {
        flo_buf_text(out, i > 0 ? ",{" : "{");
        client(out, owns[i].client, owns[i].role);
        flo_buf_text(out, "}");
    }
    for (size_t i = 0; i < devices.count; i++) {
        flo_buf_text(out, ",{");
        client(out, devices.items[i], devices.items[i]);
        flo_buf_text(out, "}");
    }
    flo_buf_text(out, "],\"roles\":[");
    for (size_t i = 0; i < FLO_COUNT(owns); i++) {
        flo_buf_text(out, i > 0 ? "," : "");
        own_role(out, controller->fleet, &owns[i]);
    }
    for (size_t i = 0; i < devices.count; i++) {
        flo_buf_text(out, ",{");
        role(out, controller->fleet, devices.items[i]);
        flo_buf_text(out, "}");
    }
    flo_buf_text(out, "]}\n");
    flo_text_list_clear(&devices);
    FLO_TRY(rv);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "accounts") : 0;
}

void flo_broker_accounts_line(char *out, size_t bytes)
{
    static const char *const folders[] = {"x86_64-linux-gnu", "aarch64-linux-gnu",
                                          "arm-linux-gnueabihf"};
    char path[128];

    for (size_t i = FLO_COUNT(folders); i-- > 0;) {
        snprintf(path, sizeof(path), "/usr/lib/%s/mosquitto_dynamic_security.so", folders[i]);
        if (access(path, R_OK) == 0) {
            /* The plugin's path on this machine is used; if there is none, the
             * first path, which may exist on the broker's machine. */
            break;
        }
    }
    snprintf(out, bytes, "plugin %s\nplugin_opt_config_file dynamic-security.json", path);
}
