/* allocate.h: time and memory of an allocation with its proof, of two models' linear layers at
   the granularity of a byte. */
#ifndef BENCH_ALLOCATE_H
#define BENCH_ALLOCATE_H

#include "plan.h"
#include "report.h"
#include "cases.h"
#include <math.h>

enum { ALLOCATE_OPTIONS = 30, ALLOCATE_MOST = 1000 };

/* Rows and columns of a block's layers, over and over; the budget is so many bits a weight. */
typedef struct allocation_case {
    const char *name, *text;
    uint32_t layers, shapes, shape[7][2];
    double bits;
} allocation_case;

static const allocation_case allocations[] = {
    { "l224", "224 layers of a model of 8B parameters", 224, 7,
      { { 4096, 4096 }, { 1024, 4096 }, { 1024, 4096 }, { 4096, 4096 }, { 14336, 4096 }, { 14336, 4096 },
        { 4096, 14336 } }, 3.25 },
    { "l1000", "1,000 layers of one of 70B", 1000, 5,
      { { 8192, 8192 }, { 2048, 8192 }, { 8192, 8192 }, { 28672, 4096 }, { 4096, 28672 } }, 4.25 },
};

typedef struct allocation_work {
    llmq_option *option;
    uint32_t first[ALLOCATE_MOST + 1], choice[ALLOCATE_MOST], layers;
    uint64_t budget;
    llmq_allocation result;
    void *work;
    size_t size;
} allocation_work;

static double allocation_uniform(uint32_t seed, uint32_t counter)
{
    return (double)(llmq_random(seed, counter) >> 8) / 16777216.0;
}

/* Widths of 2 to 8 bits, not the same for all layers; the loss falls by about 4 a bit; sensitivities differ by e^6. */
static void allocation_make(allocation_work *a, const allocation_case *m)
{
    uint32_t n = 0;
    double weights = 0;
    a->layers = m->layers;
    a->first[0] = 0;
    for (uint32_t l = 0; l < m->layers; l++) {
        double size = (double)m->shape[l % m->shapes][0] * m->shape[l % m->shapes][1],
            alpha = exp(6 * allocation_uniform(1, l));
        for (int i = 0; i < ALLOCATE_OPTIONS; i++, n++) {
            double width = 2 + 0.2 * i + 0.2 * allocation_uniform(2, n);
            a->option[n].cost = (uint64_t)(size * width / 8);
            a->option[n].loss = alpha * pow(4, -width) * (0.8 + 0.4 * allocation_uniform(3, n));
        }
        a->first[l + 1] = n;
        weights += size;
    }
    a->budget = (uint64_t)(weights * m->bits / 8);
}

static void run_allocate(void *context)
{
    allocation_work *a = (allocation_work *)context;
    must(llmq_allocate(a->option, a->first, a->layers, NULL, a->budget, a->choice, &a->result, a->work, a->size, NULL));
}

/* Leaves in size the least workspace, of a power of two of states, in which the choice is
   proven; 0 if there is none. */
static int allocation_fits(allocation_work *a)
{
    const size_t most = a->size;
    for (uint32_t states = 1; states <= 65536; states *= 2) {
        a->size = llmq_allocate_work_size(a->layers, a->first[a->layers], states);
        if (a->size > most) break;
        run_allocate(a);
        if (a->result.bound >= a->result.loss) return 1;
    }
    return 0;
}

static void part_allocate(void)
{
    static allocation_work a;
    static duel d;
    a.option = (llmq_option *)allocate(ALLOCATE_MOST * ALLOCATE_OPTIONS * sizeof *a.option);
    for (size_t i = 0; i < sizeof allocations / sizeof *allocations && !stopped; i++) {
        progress("allocate", allocations[i].name);
        allocation_make(&a, &allocations[i]);
        a.size = llmq_allocate_work_size(a.layers, a.first[a.layers], 0);
        a.work = allocate(a.size);
        if (allocation_fits(&a)) {
            memset(&d, 0, sizeof d);
            d.job[0].run = run_allocate;
            d.job[0].context = &a;
            race(&d, 1, options.seconds, 1e-3);
            if (!stopped) {
                record(d.time[0] * 1e3, "bench.alloc.%s.ms", allocations[i].name);
                record((double)a.size / 1e6, "bench.alloc.%s.mb", allocations[i].name);
            }
        }
        free(a.work);
    }
    free(a.option);
}

static void print_allocate(void)
{
    printf("\n%-52s %10s %10s\n", "the best formats, proven, 30 options a layer", "ms", "MB");
    for (size_t i = 0; i < sizeof allocations / sizeof *allocations; i++) {
        printf("%-52s", allocations[i].text);
        cell(recorded("bench.alloc.%s.ms", allocations[i].name), 10, 2);
        cell(recorded("bench.alloc.%s.mb", allocations[i].name), 10, 2);
        printf("\n");
    }
}

#endif
