/* GPUs and NPUs of a machine, below a faked root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/shell/hardware/hardware.h"
#include "unit/remove_tree.h"

static char root[64];

static int begin(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/flo-accelerators-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    return remove_tree(root);
}

static void put(const char *path, const char *text)
{
    char whole[512];

    snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *at = whole + strlen(root) + 1; *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            mkdir(whole, 0700);
            *at = '/';
        }
    }
    assert_int_equal(flo_file_write(whole, text, strlen(text), 0600, NULL), 0);
}

/* Puts a render node with its PCI ids. */
static void put_render(const char *node, const char *vendor, const char *device)
{
    char path[128];

    snprintf(path, sizeof(path), "/dev/dri/%s", node);
    put(path, "");
    snprintf(path, sizeof(path), "/sys/class/drm/%s/device/vendor", node);
    put(path, vendor);
    snprintf(path, sizeof(path), "/sys/class/drm/%s/device/device", node);
    put(path, device);
}

/* All accelerators as text: "kind name bytes" each, with "; " between. */
static const char *look(void)
{
    static char text[1024];
    struct flo_machine machine = {0};
    size_t used = 0;

    flo_accelerators_look(root, &machine);
    text[0] = '\0';
    for (size_t i = 0; i < machine.accelerator_count; i++) {
        const struct flo_accelerator *one = &machine.accelerators[i];
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%s%s '%s' %llu", i > 0 ? "; " : "",
                             one->kind, one->name, (unsigned long long)one->memory_bytes);
    }
    return text;
}

static void a_machine_without_any_has_none(void **state)
{
    (void)state;
    assert_string_equal(look(), "");
    put("/dev/nvidiactl", "");
    put("/dev/nvidia-uvm", "");
    put("/dev/kfd", "");
    assert_string_equal(look(), "");
}

static void a_gpu_of_nvidia_has_the_name_that_its_driver_tells(void **state)
{
    (void)state;
    put("/dev/nvidia0", "");
    assert_string_equal(look(), "cuda '' 0");

    put("/proc/driver/nvidia/gpus/0000:01:00.0/information",
        "Model: \t\t NVIDIA H200\nIRQ:   \t\t 77\nDevice Minor: \t 1\n");
    assert_string_equal(look(), "cuda '' 0"); /* that of the other node */
    put("/proc/driver/nvidia/gpus/0000:02:00.0/information",
        "Model: \t\t NVIDIA L4 \nIRQ:   \t\t 78\nDevice Minor: \t 0\n");
    assert_string_equal(look(), "cuda 'NVIDIA L4' 0");
}

static void a_gpu_without_its_node_does_not_count(void **state)
{
    (void)state;
    put("/proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: A\nDevice Minor: 0\n");
    put("/sys/class/drm/renderD128/device/vendor", "0x8086\n");
    put("/sys/class/accel/accel0/device/vendor", "0x8086\n");
    assert_string_equal(look(), "");
}

static void each_render_node_is_for_vulkan_and_one_of_amd_for_rocm_too(void **state)
{
    (void)state;
    put_render("renderD128", "0x1002\n", "0x744c\n");
    put("/sys/class/drm/renderD128/device/uevent", "DRIVER=amdgpu\nPCI_CLASS=30000\n");
    put("/sys/class/drm/renderD128/device/mem_info_vram_total", "25753026560\n");
    put_render("renderD129", "0x8086\n", "0x9a49\n");
    assert_string_equal(look(), "vulkan '8086:9a49' 0; vulkan 'amdgpu 1002:744c' 25753026560");

    put("/dev/kfd", "");
    put("/sys/class/drm/renderD128/device/product_name", "AMD Instinct MI210\n");
    assert_string_equal(look(), "rocm 'AMD Instinct MI210' 25753026560; vulkan '8086:9a49' 0; "
                                "vulkan 'AMD Instinct MI210' 25753026560");
}

static void a_render_node_without_pci_has_its_drivers_name(void **state)
{
    (void)state;
    put("/dev/dri/renderD128", "");
    put("/dev/dri/card0", "");
    put("/sys/class/drm/card0/device/uevent", "DRIVER=panfrost\n");
    put("/sys/class/drm/renderD128/device/uevent", "OF_NAME=gpu\nDRIVER=panfrost\n");
    assert_string_equal(look(), "vulkan 'panfrost' 0");
}

static void an_npu_is_found_by_its_node(void **state)
{
    (void)state;
    put("/dev/accel/accel0", "");
    put("/sys/class/accel/accel0/device/uevent", "DRIVER=intel_vpu\nPCI_ID=8086:7D1D\n");
    put("/sys/class/accel/accel0/device/vendor", "0x8086\n");
    put("/sys/class/accel/accel0/device/device", "0x7d1d\n");
    assert_string_equal(look(), "npu 'intel_vpu 8086:7d1d' 0");
}

static void more_of_one_kind_hide_no_other_kind(void **state)
{
    char path[32];

    (void)state;
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof(path), "/dev/nvidia%d", i);
        put(path, "");
    }
    assert_string_equal(look(), "cuda '' 0; cuda '' 0; cuda '' 0; cuda '' 0");

    put_render("renderD128", "0x10de\n", "0x2335\n");
    put("/dev/accel/accel0", "");
    assert_string_equal(look(), "cuda '' 0; cuda '' 0; npu '' 0; vulkan '10de:2335' 0");
}

static void a_kernels_strange_values_are_shown_as_text_or_left_out(void **state)
{
    char long_name[200];

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    put_render("renderD128", "", "0x1\n");
    put("/sys/class/drm/renderD128/device/mem_info_vram_total", "-5\n");
    put("/sys/class/drm/renderD128/device/product_name", "a\tb\xff\n");
    assert_string_equal(look(), "vulkan 'a\\x09b\\xff' 0");

    put("/sys/class/drm/renderD128/device/mem_info_vram_total", "99999999999999999999\n");
    put("/sys/class/drm/renderD128/device/product_name", long_name);
    long_name[63] = '\0';
    assert_non_null(strstr(look(), long_name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_without_any_has_none, begin, end),
        cmocka_unit_test_setup_teardown(a_gpu_of_nvidia_has_the_name_that_its_driver_tells, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_gpu_without_its_node_does_not_count, begin, end),
        cmocka_unit_test_setup_teardown(each_render_node_is_for_vulkan_and_one_of_amd_for_rocm_too,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_render_node_without_pci_has_its_drivers_name, begin, end),
        cmocka_unit_test_setup_teardown(an_npu_is_found_by_its_node, begin, end),
        cmocka_unit_test_setup_teardown(more_of_one_kind_hide_no_other_kind, begin, end),
        cmocka_unit_test_setup_teardown(a_kernels_strange_values_are_shown_as_text_or_left_out,
                                        begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
