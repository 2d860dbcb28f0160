/* insn.c: a plug-in for QEMU (TCG, plug-in interface of version 1) that counts executed
   instructions between markers.

       cc -O2 -shared -fPIC -o insn.so insn.c
       qemu-aarch64 -plugin ./insn.so -d plugin -D LOG PROGRAM

   A marker is an instruction that does nothing, one for each processor (bench/count.c executes
   them). After every second one the log gets a line "insn N": the instructions between the two;
   with -plugin ./insn.so,part=FIRST-END (addresses, hexadecimal) "insn N part M", those from
   FIRST on and before END. Debian's QEMU comes without qemu-plugin.h, so what is used of the
   interface is declared here. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info {
    const char *target_name;
    struct { int min, cur; } version;
    _Bool system_emulation;
    struct { int smp_vcpus, max_vcpus; } system;
} qemu_info;
typedef void translated(uint64_t id, struct qemu_plugin_tb *block);
typedef void executed(unsigned cpu, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated *callback);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, executed *callback, int registers,
                                            void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int add, void *counter, uint64_t amount);
void qemu_plugin_outs(const char *text);
#define VISIBLE __attribute__((visibility("default")))
extern VISIBLE int qemu_plugin_version;
VISIBLE int qemu_plugin_install(uint64_t id, const qemu_info *info, int argc, char **argv);

int qemu_plugin_version = 1;

static const struct { const char *target; size_t size; unsigned char bytes[4]; } markers[] = {
    { "aarch64", 4, { 0x7b, 0x03, 0x1b, 0xaa } }, { "arm", 2, { 0xc9, 0x46 } },
    { "arm", 4, { 0x09, 0x90, 0x89, 0xe1 } },
    { "riscv32", 4, { 0x13, 0x20, 0x10, 0x00 } }, { "riscv64", 4, { 0x13, 0x20, 0x10, 0x00 } },
    { "x86_64", 3, { 0x48, 0x87, 0xdb } },
};
static const char *target;
static uint64_t counter, begin; /* markers are not counted */
static uint64_t part_counter, part_begin, part_first, part_end;
static int open_interval;

/* QEMU 7.2 now and then gives a 16-bit Thumb instruction a size of 4, so only the beginning is
   compared; the first half of a 32-bit one is never that of the marker. */
static int is_marker(const struct qemu_plugin_insn *insn)
{
    size_t size = qemu_plugin_insn_size(insn);
    for (size_t i = 0; i < sizeof markers / sizeof *markers; i++)
        if (size >= markers[i].size && !strcmp(target, markers[i].target)
            && !memcmp(qemu_plugin_insn_data(insn), markers[i].bytes, markers[i].size)) return 1;
    return 0;
}

static void on_marker(unsigned cpu, void *data)
{
    char text[80];
    (void)cpu, (void)data;
    if (open_interval) {
        if (part_end)
            snprintf(text, sizeof text, "insn %" PRIu64 " part %" PRIu64 "\n", counter - begin,
                     part_counter - part_begin);
        else snprintf(text, sizeof text, "insn %" PRIu64 "\n", counter - begin);
        qemu_plugin_outs(text);
    }
    begin = counter;
    part_begin = part_counter;
    open_interval = !open_interval;
}

static void on_translation(uint64_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    for (size_t i = 0, n = qemu_plugin_tb_n_insns(block); i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint64_t at = qemu_plugin_insn_vaddr(insn);
        if (at >= part_first && at < part_end) qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, &part_counter, 1);
        if (is_marker(insn)) qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker, 0, NULL);
        else qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, &counter, 1);
    }
}

int qemu_plugin_install(uint64_t id, const qemu_info *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (sscanf(argv[i], "part=%" SCNx64 "-%" SCNx64, &part_first, &part_end) != 2) return 1;
    target = info->target_name;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
