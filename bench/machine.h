/* machine.h: what figures are from, and on which core they are measured. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdio.h>
#include <string.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifndef BENCH_CFLAGS
#define BENCH_CFLAGS "unknown"
#endif

typedef struct machine {
    char cpu[128], features[256];
    const char *compiler, *cflags;
    int core; /* -1: not pinned */
} machine;

/* The value of a line "name : value" of /proc/cpuinfo, or "". */
static void cpuinfo(const char *name, char *value, size_t size)
{
    static char text[8192];
    FILE *file = fopen("/proc/cpuinfo", "r");
    *value = 0;
    while (file && fgets(text, sizeof text, file)) {
        char *colon = strchr(text, ':');
        if (strncmp(text, name, strlen(name)) || !colon) continue;
        snprintf(value, size, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
        value[strcspn(value, "\n")] = 0;
        break;
    }
    if (file) fclose(file);
}

/* Of the processor's flags those that kernels are chosen by. */
static void features_that_matter(char *features, size_t size)
{
    static const char *const names[] = { "ssse3", "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512vl",
                                         "avx512_vnni", "avx512_vbmi", "asimd", "neon", "asimddp", "i8mm", "sve" };
    static char all[8192], wanted[32];
    size_t n = 0;
    features[0] = 0;
    all[0] = ' ';
    cpuinfo("flags", all + 1, sizeof all - 2);
    if (!all[1]) cpuinfo("Features", all + 1, sizeof all - 2);
    strcat(all, " ");
    for (size_t i = 0; i < sizeof names / sizeof *names && n < size; i++) {
        snprintf(wanted, sizeof wanted, " %s ", names[i]);
        if (strstr(all, wanted)) n += (size_t)snprintf(features + n, size - n, "%s%s", n ? " " : "", names[i]);
    }
}

/* Stay on one core: the last, for the first has the interrupts, or the one asked for. Returns it, or -1. */
static int pin(int core)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return -1;
    for (int i = CPU_SETSIZE - 1; i >= 0 && core < 0; i--)
        if (CPU_ISSET((size_t)i, &set)) core = i;
    if (core < 0 || core >= CPU_SETSIZE) return -1;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    return sched_setaffinity(0, sizeof set, &set) ? -1 : core;
#else
    (void)core;
    return -1;
#endif
}

/* A core that this process may use besides `core`, or -1; to be asked before pinning. */
static int other_core(int core)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return -1;
    for (int i = CPU_SETSIZE - 1, last = core < 0; i >= 0; i--) {
        if (!CPU_ISSET((size_t)i, &set) || i == core) continue;
        if (!last) return i;
        last = 0; /* the last one is pin's choice */
    }
#endif
    (void)core;
    return -1;
}

static machine machine_describe(int core)
{
    machine m;
    memset(&m, 0, sizeof m);
    cpuinfo("model name", m.cpu, sizeof m.cpu);
    if (!*m.cpu) snprintf(m.cpu, sizeof m.cpu, "unknown");
    features_that_matter(m.features, sizeof m.features);
#ifdef __clang__
    m.compiler = "clang " __clang_version__;
#else
    m.compiler = "gcc " __VERSION__;
#endif
    m.cflags = BENCH_CFLAGS;
    m.core = core;
    return m;
}

#endif
