/* threads.h: two threads, each on a core of its own, each with half of the rows of a tensor,
   beside one with all of them. */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#include "cases.h"
#include "report.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

typedef struct half {
    llmq_tensor t;
    uint32_t r0, r1, reps;
    float *y;
    double seconds;
    int disturbed, core;
} half;

/* Waiting for a thread to wake up takes as long as some products: both spin until the other is
   there, and only then look at the clock. */
typedef struct meeting { atomic_int arrived; sem_t begin, end; half second; int quit; } meeting;

static void half_run(void *context)
{
    half *h = (half *)context;
    must(llmq_matmul(&h->t, v.i8, 1, h->r0, h->r1, h->y, h->t.rows));
}

static void half_time(half *h, meeting *m)
{
    job j = { half_run, h, h->reps };
    h->disturbed = 0;
    if (m) {
        atomic_fetch_add(&m->arrived, 1);
        while (atomic_load(&m->arrived) < 2) continue;
    }
    h->seconds = timed(&j, &h->disturbed);
}

static void *second_thread(void *context)
{
    meeting *m = (meeting *)context;
    pin(m->second.core);
    for (;;) {
        sem_wait(&m->begin);
        if (m->quit) return NULL;
        half_time(&m->second, m);
        sem_post(&m->end);
    }
}

/* How many times the throughput of one thread two have, the other on core `second`; median. */
static double two_threads(const llmq_tensor *t, int second, double seconds)
{
    static double ratio[SAMPLES];
    static float y[MAX_ROWS];
    meeting m;
    pthread_t thread;
    half all, first;
    int n = 0, tries = 0;
    double end;
    memset(&m, 0, sizeof m);
    memset(&all, 0, sizeof all);
    all.t = *t, all.r1 = t->rows, all.reps = 8, all.y = y;
    half_time(&all, NULL);
    all.reps = (uint32_t)(1e-3 / all.seconds) + 1;
    first = all, m.second = all;
    first.r1 = m.second.r0 = t->rows / 2;
    m.second.core = second;
    if (sem_init(&m.begin, 0, 0) || sem_init(&m.end, 0, 0)) return (double)NAN;
    if (pthread_create(&thread, NULL, second_thread, &m)) return (double)NAN;
    end = wall_clock() + seconds;
    /* undisturbed samples only; on a machine that is never quiet whatever there is */
    while (!stopped && n < SAMPLES && (wall_clock() < end || (n < ENOUGH && tries < 1000))) {
        double slower;
        half_time(&all, NULL);
        atomic_store(&m.arrived, 0);
        sem_post(&m.begin);
        half_time(&first, &m);
        sem_wait(&m.end);
        slower = first.seconds > m.second.seconds ? first.seconds : m.second.seconds;
        if (tries++ > 500 || !(all.disturbed || first.disturbed || m.second.disturbed))
            ratio[n++] = all.seconds / slower;
    }
    m.quit = 1;
    sem_post(&m.begin);
    pthread_join(thread, NULL);
    return n ? quantile(ratio, n, 0.5) : (double)NAN;
}

#endif
