/* Preloaded into a node: its wall clock is off, its disk is slow or fails, as a shared file of three numbers says.
 *
 * CHAOS_WEATHER: the file: clock_ns i64 | sync_us i64 | sync_fails i64 (native byte order). The steady clocks are left alone:
 * no step of an operator or of NTP moves them either.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t calm[3];
static volatile int64_t *weather = calm;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_WEATHER");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof calm, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) weather = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + weather[0];
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}

static int disk(void) {
    if (weather[1] > 0) usleep((useconds_t)weather[1]);
    if (weather[2]) {
        errno = EIO;
        return -1;
    }
    return 0;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, "fdatasync");
    return disk() ? -1 : real(fd);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, "fsync");
    return disk() ? -1 : real(fd);
}

int msync(void *address, size_t length, int flags) {
    static int (*real)(void *, size_t, int);
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, "msync");
    return disk() ? -1 : real(address, length, flags);
}
