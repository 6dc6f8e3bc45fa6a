/* wan: an emulated wide-area path between the TUN devices of two network namespaces.
 *
 *   wan NETNS NETNS SEED MODEL MODEL    joins "wan0" of both, until SIGTERM or SIGINT
 *   wan --dry SEED MODEL COUNT STEP     prints the delays of COUNT packets, one each STEP seconds
 *
 * NETNS is a file such as /proc/PID/ns/net. The first MODEL is for packets from the first
 * namespace to the second, the second for the way back. A MODEL is a text of words with values in
 * seconds, all of them optional:
 *
 *   base=B                    every packet takes so long
 *   exponential=MEAN          jitter above it, light-tailed
 *   pareto=SCALE:SHAPE:MOST   jitter above it, heavy-tailed, cut at MOST
 *   bloat=PERIOD:DUTY:EXTRA   a buffer fills for the share DUTY of each PERIOD; a packet then waits
 *                             for a random part of it, up to EXTRA at the end
 *   loss=SHARE                the chance that a packet is lost
 *   rate=BITS                 bits per second; packets queue for the line
 *
 * These are the models of benchmarks/simulation/network.py. Packets never overtake each other. Each
 * packet takes the same number of draws from its direction's own generator, so the jitter of the
 * n-th packet of a direction does not depend on the other direction.
 *
 * At its end it prints a line of JSON: packets delivered and lost in each direction, and by how
 * many seconds deliveries were late, on average and at most.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "wan0"
#define NS_PER_S 1000000000LL
#define QUEUE 1024 /* packets on their way; the devices queue all further ones */
#define LARGEST 2048
#define AWAKE 300000LL /* ns before a packet is due: a sleeping processor wakes up late */

struct packet {
    int64_t due;
    ssize_t size;
    unsigned char bytes[LARGEST];
};

struct way {
    double base, mean, scale, shape, most, period, duty, extra, loss, rate;
    uint64_t state;
    int64_t line_free, last_due;
    int from, to;
    struct packet *queue;
    unsigned taken, given;
    long lost;
    double late, latest;
};

static volatile sig_atomic_t ended;

static void end(int signal) { (void)signal; ended = 1; }

static void fail(const char *what) { perror(what); exit(1); }

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* SplitMix64 (Steele, Lea, Flood 2014): any seed will do. Uniform in (0, 1), never 0 or 1. */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return ((z >> 11) + 0.5) / 9007199254740992.0;
}

static void read_model(struct way *way, char *text)
{
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        int known = sscanf(word, "base=%lf", &way->base) == 1
            || sscanf(word, "exponential=%lf", &way->mean) == 1
            || sscanf(word, "pareto=%lf:%lf:%lf", &way->scale, &way->shape, &way->most) == 3
            || sscanf(word, "bloat=%lf:%lf:%lf", &way->period, &way->duty, &way->extra) == 3
            || sscanf(word, "loss=%lf", &way->loss) == 1
            || sscanf(word, "rate=%lf", &way->rate) == 1;
        if (!known) {
            fprintf(stderr, "wan: no model: %s\n", word);
            exit(2);
        }
    }
}

/* The arrival of a packet that comes at `now`, both in ns after the start; -1 if it is lost. */
static int64_t arrival(struct way *way, int64_t now, size_t size)
{
    double chance = uniform(&way->state), jitter = uniform(&way->state), wait = uniform(&way->state);
    if (chance < way->loss) return -1;
    double delay = way->base;
    if (way->mean > 0) delay -= way->mean * log(jitter);
    if (way->scale > 0) delay += fmin(way->scale * (pow(jitter, -1 / way->shape) - 1), way->most);
    if (way->period > 0) {
        double phase = fmod(now / 1e9, way->period) / (way->period * way->duty);
        if (phase < 1) delay += way->extra * phase * wait;
    }
    int64_t departure = now;
    if (way->rate > 0) {
        if (departure < way->line_free) departure = way->line_free;
        departure += (int64_t)(size * 8 / way->rate * NS_PER_S);
        way->line_free = departure;
    }
    int64_t due = departure + (int64_t)(delay * NS_PER_S);
    if (due < way->last_due) due = way->last_due;
    return way->last_due = due;
}

static int dry(char **argv)
{
    struct way way = { .state = strtoull(argv[2], NULL, 10) };
    read_model(&way, argv[3]);
    long count = atol(argv[4]);
    double step = atof(argv[5]);
    for (long number = 0; number < count; number++) {
        int64_t now = (int64_t)(number * step * NS_PER_S), due = arrival(&way, now, 100);
        if (due < 0) puts("lost");
        else printf("%.9f\n", (due - now) / 1e9);
    }
    return 0;
}

/* The namespace's device is there already; it goes with the namespace. */
static int attach(const char *namespace)
{
    int own = open("/proc/self/ns/net", O_RDONLY), other = open(namespace, O_RDONLY);
    if (own < 0 || other < 0 || setns(other, CLONE_NEWNET)) fail(namespace);
    struct ifreq request = { .ifr_name = DEVICE, .ifr_flags = IFF_TUN | IFF_NO_PI };
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (device < 0 || ioctl(device, TUNSETIFF, &request)) fail("/dev/net/tun");
    if (setns(own, CLONE_NEWNET)) fail("setns");
    close(own);
    close(other);
    return device;
}

static void take(struct way *way, int64_t start)
{
    while (way->taken - way->given < QUEUE) {
        struct packet *packet = &way->queue[way->taken % QUEUE];
        packet->size = read(way->from, packet->bytes, sizeof packet->bytes);
        if (packet->size <= 0) return;
        int64_t due = arrival(way, now_ns() - start, packet->size);
        if (due < 0) way->lost++;
        else {
            packet->due = start + due;
            way->taken++;
        }
    }
}

static void give(struct way *way)
{
    while (way->given != way->taken) {
        struct packet *packet = &way->queue[way->given % QUEUE];
        int64_t late = now_ns() - packet->due;
        if (late < 0) return;
        if (write(way->to, packet->bytes, packet->size) < 0) way->lost++;
        way->given++;
        way->late += late / 1e9;
        way->latest = fmax(way->latest, late / 1e9);
    }
}

/* How long to sleep. */
static struct timespec until_next(const struct way *ways)
{
    int64_t next = INT64_MAX, now = now_ns();
    for (int i = 0; i < 2; i++)
        if (ways[i].given != ways[i].taken) {
            int64_t due = ways[i].queue[ways[i].given % QUEUE].due;
            if (due < next) next = due;
        }
    int64_t left = next == INT64_MAX ? 60 * NS_PER_S : next - now - AWAKE;
    if (left < 0) left = 0;
    return (struct timespec){ left / NS_PER_S, left % NS_PER_S };
}

static void report(const struct way *ways)
{
    long delivered = (long)ways[0].given + ways[1].given;
    printf("{\"delivered\": [%u, %u], \"lost\": [%ld, %ld], \"late\": %.9f, \"latest\": %.9f}\n",
           ways[0].given, ways[1].given, ways[0].lost, ways[1].lost,
           delivered ? (ways[0].late + ways[1].late) / delivered : 0,
           fmax(ways[0].latest, ways[1].latest));
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "--dry") == 0) return dry(argv);
    if (argc != 6) {
        fprintf(stderr, "usage: wan NETNS NETNS SEED MODEL MODEL | wan --dry SEED MODEL COUNT STEP\n");
        return 2;
    }
    struct way ways[2] = { 0 };
    ways[0].from = ways[1].to = attach(argv[1]);
    ways[1].from = ways[0].to = attach(argv[2]);
    for (int i = 0; i < 2; i++) {
        ways[i].state = strtoull(argv[3], NULL, 10) * 2 + i; /* the generator mixes neighbours */
        read_model(&ways[i], argv[4 + i]);
        ways[i].queue = calloc(QUEUE, sizeof *ways[i].queue);
        if (!ways[i].queue) fail("queue");
    }
    /* Packets leave when they are due, even if the machine is busy. */
    prctl(PR_SET_TIMERSLACK, 1UL);
    mlockall(MCL_CURRENT);
    struct sched_param priority = { .sched_priority = 10 };
    sched_setscheduler(0, SCHED_FIFO, &priority);

    /* Signals come only while ppoll() waits, so that none is missed before it. */
    sigset_t none, ends;
    sigemptyset(&none);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    struct sigaction action = { .sa_handler = end };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    int64_t start = now_ns();
    while (!ended) {
        struct timespec left = until_next(ways);
        struct pollfd devices[2];
        for (int i = 0; i < 2; i++) {
            int room = ways[i].taken - ways[i].given < QUEUE;
            devices[i] = (struct pollfd){ ways[i].from, room ? POLLIN : 0, 0 };
        }
        ppoll(devices, 2, &left, &none);
        for (int i = 0; i < 2; i++) take(&ways[i], start);
        for (int i = 0; i < 2; i++) give(&ways[i]);
    }
    report(ways);
    return 0;
}
