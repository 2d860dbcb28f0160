/* measure.h: clocks, samples and their statistics, and races, in which the things to be compared
   take turns.

   Everything here is relative: on a shared machine the clock rate, the caches and the memory
   change while one looks, so what is to be compared is run in turns, some hundred microseconds
   each, and medians are compared. A sample during which the thread was not always running (its
   wall time is longer than its CPU time) says nothing and is dropped. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Ctrl-C ends the races; what was measured is still printed. */
static volatile sig_atomic_t stopped;
static void stop(int sig) { (void)sig; stopped = 1; }

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static double wall_clock(void) { return seconds_of(CLOCK_MONOTONIC); }
static double cpu_clock(void) { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which a part q of v lies; sorts v. */
static double quantile(double *v, int n, double q)
{
    if (n == 0) return 0;
    qsort(v, (size_t)n, sizeof *v, compare_doubles);
    return v[(int)(q * (n - 1) + 0.5)];
}

static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) {
        fprintf(stderr, "bench: no memory\n");
        exit(1);
    }
    return p;
}

/* Something to be timed. */
typedef struct job {
    void (*run)(void *context); /* one call; NULL: no job */
    void *context;
    uint32_t reps; /* calls a sample */
} job;

/* Two jobs that alternate, so that what disturbs one disturbs the other: the second is often what the first is measured
   by. time and best hold seconds a call, the median and the fastest tenth. */
enum { SAMPLES = 4096, ENOUGH = 5 };
typedef struct duel {
    job job[2];
    double time[2], best[2];
    double sample[SAMPLES][2], spent;
    unsigned char disturbed[SAMPLES];
    int count, clean;
} duel;

static double calls(const job *j)
{
    double start = wall_clock();
    for (uint32_t i = 0; i < j->reps; i++) j->run(j->context);
    return wall_clock() - start;
}

/* The CPU clock is read outside the wall clock, so that an undisturbed sample has more of it. Of
   a disturbed one, should it be needed, the CPU time: it still has the caches that were lost,
   but not the time of others. */
static double timed(const job *j, int *disturbed)
{
    double cpu = cpu_clock(), wall = calls(j);
    cpu = cpu_clock() - cpu;
    if (wall - cpu <= 0.01 * wall) return wall / j->reps;
    *disturbed = 1;
    return cpu / j->reps;
}

/* Touch everything once, then find how many calls are not shorter than a sample should be. */
static void warm_up(duel *d, double shortest)
{
    for (int i = 0; i < 2; i++) {
        job *j = &d->job[i];
        if (!j->run) continue;
        for (j->reps = 1; j->reps < 1u << 24 && calls(j) < shortest; j->reps *= 2) continue;
        while (j->reps > 1 && calls(j) > 2 * shortest) j->reps /= 2; /* the first calls were slow */
    }
    d->count = d->clean = 0;
    d->spent = 0;
}

static void take_turn(duel *d)
{
    double start = wall_clock();
    int disturbed = 0;
    for (int i = 0; i < 2; i++)
        if (d->job[i].run) d->sample[d->count][i] = timed(&d->job[i], &disturbed);
    d->disturbed[d->count++] = (unsigned char)disturbed;
    d->clean += !disturbed;
    d->spent += wall_clock() - start;
}

/* Where nearly all samples were disturbed (long ones, on a busy machine) they are used after all. */
static void summarize(duel *d)
{
    static double v[SAMPLES];
    for (int i = 0; i < 2; i++) {
        int n = 0;
        for (int s = 0; s < d->count; s++)
            if (!d->disturbed[s] || d->clean < ENOUGH) v[n++] = d->sample[s][i];
        d->time[i] = d->job[i].run ? quantile(v, n, 0.5) : 0;
        d->best[i] = d->job[i].run ? quantile(v, n, 0.1) : 0;
    }
}

/* Whoever had least time goes next: the fast ones get more samples, and all are spread over the whole race. */
static duel *whose_turn(duel *d, int n, double seconds)
{
    duel *next = NULL;
    for (int i = 0; i < n; i++) {
        int enough = d[i].spent >= seconds
                     && (d[i].clean >= ENOUGH || (d[i].spent > 4 * seconds && d[i].count >= ENOUGH));
        if (!enough && d[i].count < SAMPLES && (!next || d[i].spent < next->spent)) next = &d[i];
    }
    return next;
}

/* n duels, `seconds` for each. */
static void race(duel *d, int n, double seconds, double shortest)
{
    duel *next;
    for (int i = 0; i < n && !stopped; i++) warm_up(&d[i], shortest);
    while (!stopped && (next = whose_turn(d, n, seconds)) != NULL) take_turn(next);
    for (int i = 0; i < n && !stopped; i++) summarize(&d[i]);
}

#endif
