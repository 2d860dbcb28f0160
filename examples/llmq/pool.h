/* pool.h - threads that wait for tasks of lm.h. A part of the tool llmq.c, not a header for others.

   A product of a model takes some ten microseconds, so threads are started once, and wait for the
   next job first in a loop, then asleep. Tasks of a job are taken by number, by whoever is free. */

#if defined LLMQ_NO_THREADS || defined _WIN32 || !defined __GNUC__
typedef struct pool { int threads; } pool;

static void pool_start(pool *p, int threads) { (void)threads, p->threads = 1; }

/* An lm_runner. context: a pool. */
static void pool_run(void *context, lm_task task, void *argument, uint32_t n)
{
    (void)context;
    for (uint32_t i = 0; i < n; i++) task(argument, i);
}
#else
/* Turns of the loop before a thread sleeps: about ten microseconds, as long as most pauses between
   two products.
   Measured: fifteen times as many turns gain nothing, and cost much where other programs run. */
#define POOL_TURNS 20000

typedef struct pool {
    int threads;
    lm_task task;
    void *argument;
    /* the number of the job, in the upper 32 bits, its tasks, and the next one, of 16 bits each:
       whoever takes a task makes sure in one step that it is a task of the job that it looked at */
    uint64_t state;
    uint32_t done;
    int sleeping;
    pthread_mutex_t lock;
    pthread_cond_t wake;
} pool;

/* Takes and does tasks of job `number` until none is left. */
static void pool_work(pool *p, uint32_t number)
{
    uint64_t s = __atomic_load_n(&p->state, __ATOMIC_ACQUIRE);
    while (s >> 32 == number && (s & 0xffff) < (s >> 16 & 0xffff)) {
        const lm_task task = __atomic_load_n(&p->task, __ATOMIC_RELAXED);
        void *argument = __atomic_load_n(&p->argument, __ATOMIC_RELAXED);
        if (!__atomic_compare_exchange_n(&p->state, &s, s + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
        task(argument, (uint32_t)(s & 0xffff));
        __atomic_fetch_add(&p->done, 1, __ATOMIC_RELEASE);
        s = __atomic_load_n(&p->state, __ATOMIC_ACQUIRE);
    }
}

static void *pool_thread(void *context)
{
    pool *p = (pool *)context;
    uint32_t last = 0;
    for (;;) {
        uint32_t number, turns = 0;
        while ((number = (uint32_t)(__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) >> 32)) == last) {
            if (++turns < POOL_TURNS) continue;
            pthread_mutex_lock(&p->lock);
            __atomic_store_n(&p->sleeping, p->sleeping + 1, __ATOMIC_SEQ_CST);
            while ((uint32_t)(__atomic_load_n(&p->state, __ATOMIC_SEQ_CST) >> 32) == last)
                pthread_cond_wait(&p->wake, &p->lock);
            __atomic_store_n(&p->sleeping, p->sleeping - 1, __ATOMIC_SEQ_CST);
            pthread_mutex_unlock(&p->lock);
        }
        last = number;
        pool_work(p, number);
    }
    return NULL;
}

/* Starts threads - 1 threads, which end with the program; fewer if the system has no more. */
static void pool_start(pool *p, int threads)
{
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (p->threads = 1; p->threads < threads; p->threads++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, pool_thread, p) != 0) return;
        pthread_detach(thread);
    }
}

/* An lm_runner. context: a pool. One job at a time. n: at most 65535. */
static void pool_run(void *context, lm_task task, void *argument, uint32_t n)
{
    pool *p = (pool *)context;
    const uint32_t number = (uint32_t)(p->state >> 32) + 1;
    __atomic_store_n(&p->task, task, __ATOMIC_RELAXED);
    __atomic_store_n(&p->argument, argument, __ATOMIC_RELAXED);
    __atomic_store_n(&p->done, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->state, (uint64_t)number << 32 | n << 16, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&p->sleeping, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    pool_work(p, number);
    while (__atomic_load_n(&p->done, __ATOMIC_ACQUIRE) != n) sched_yield();
}
#endif

#define BATCH 64u /* tokens of a prompt or a window that are run at once */

/* Memory to run a model on up to so many tokens at once, with a pool of threads at its tasks. */
static void open_window_of(loaded *m, const char *path, uint32_t tokens, pool *threads)
{
    m->model.tasks = (uint32_t)threads->threads;
    open_window(m, path, tokens);
    m->state.run = pool_run, m->state.run_context = threads;
}
