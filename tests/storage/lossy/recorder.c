/* Preloaded into a process, it writes down what that process does to the files below one directory, in order:
 * which bytes it writes, what it syncs, which names it makes. `disk.py` makes of it what a crash may leave.
 *
 * LOSSY_ROOT: the directory. LOSSY_LOG: where records go, each: op u8 | fd i32 | number i64 | length u32 | bytes
 * (native byte order). What is written through a mapping is not seen: LMDB maps its data read-only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
static char ours[FDS];
static int log_fd = -1;
static const char *root;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void put(const void *bytes, size_t length) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (real(log_fd, bytes, length) != (ssize_t)length) abort();
}

static void note(char op, int fd, int64_t number, const void *bytes, uint32_t length) {
    int32_t wide = fd;
    put(&op, 1);
    put(&wide, 4);
    put(&number, 8);
    put(&length, 4);
    if (length) put(bytes, length);
}

static int below(const char *path) { return root && strncmp(path, root, strlen(root)) == 0; }

__attribute__((constructor)) static void begin(void) {
    root = getenv("LOSSY_ROOT");
    const char *path = getenv("LOSSY_LOG");
    if (root && path) log_fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (log_fd < 0) root = NULL;
}

static int is_ours(int fd) { return fd >= 0 && fd < FDS && ours[fd]; }

static int opened(const char *path, int flags, int fd) {
    if (fd >= 0 && fd < FDS && below(path)) {
        ours[fd] = 1;
        note('O', fd, flags, path, strlen(path));
    }
    return fd;
}

#define OPEN(name)                                               \
    int name(const char *path, int flags, ...) {                 \
        va_list more;                                            \
        va_start(more, flags);                                   \
        mode_t mode = flags & (O_CREAT) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                            \
        pthread_mutex_lock(&lock);                               \
        int fd = opened(path, flags, REAL(name)(path, flags, mode)); \
        pthread_mutex_unlock(&lock);                             \
        return fd;                                               \
    }
OPEN(open)
OPEN(open64)

/* A name below an open directory, in full. */
static const char *full(int at, const char *path, char *room, size_t size) {
    char link[64];
    if (at == AT_FDCWD || path[0] == '/') return path;
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, room, size - 1);
    if (length < 0) return path;
    snprintf(room + length, size - length, "/%s", path);
    return room;
}

#define OPENAT(name)                                             \
    int name(int at, const char *path, int flags, ...) {         \
        char room[4096];                                         \
        va_list more;                                            \
        va_start(more, flags);                                   \
        mode_t mode = flags & (O_CREAT) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                            \
        pthread_mutex_lock(&lock);                               \
        int fd = REAL(name)(at, path, flags, mode);              \
        opened(full(at, path, room, sizeof room), flags, fd);    \
        pthread_mutex_unlock(&lock);                             \
        return fd;                                               \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (is_ours(fd)) {
        note('C', fd, 0, NULL, 0);
        ours[fd] = 0;
    }
    int result = REAL(close)(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* Where bytes went that were written at the file's own position, which is behind them by now. */
static int64_t behind(int fd, ssize_t done) { return is_ours(fd) ? (int64_t)REAL(lseek)(fd, 0, SEEK_CUR) - done : 0; }

#define LOGGED(call, op, number, bytes)                          \
    pthread_mutex_lock(&lock);                                   \
    ssize_t done = call;                                         \
    if (is_ours(fd) && done >= 0) note(op, fd, number, bytes, bytes ? done : 0); \
    pthread_mutex_unlock(&lock);                                 \
    return done;

ssize_t write(int fd, const void *bytes, size_t length) {
    LOGGED(REAL(write)(fd, bytes, length), 'W', behind(fd, done), bytes)
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    LOGGED(REAL(pwrite)(fd, bytes, length, at), 'W', at, bytes)
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    LOGGED(REAL(pwrite64)(fd, bytes, length, at), 'W', at, bytes)
}

static void note_all(int fd, const struct iovec *parts, int count, int64_t at, ssize_t done) {
    for (int i = 0; i < count && done > 0; i++) {
        size_t length = parts[i].iov_len < (size_t)done ? parts[i].iov_len : (size_t)done;
        note('W', fd, at, parts[i].iov_base, length);
        at += length;
        done -= length;
    }
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    pthread_mutex_lock(&lock);
    ssize_t done = REAL(writev)(fd, parts, count);
    if (is_ours(fd) && done > 0) note_all(fd, parts, count, behind(fd, done), done);
    pthread_mutex_unlock(&lock);
    return done;
}

#define PWRITEV(name, offset)                                    \
    ssize_t name(int fd, const struct iovec *parts, int count, offset at) { \
        pthread_mutex_lock(&lock);                               \
        ssize_t done = REAL(name)(fd, parts, count, at);         \
        if (is_ours(fd)) note_all(fd, parts, count, at, done);   \
        pthread_mutex_unlock(&lock);                             \
        return done;                                             \
    }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define PLAIN(name, parameters, call, op, number)                \
    int name parameters {                                        \
        pthread_mutex_lock(&lock);                               \
        int done = call;                                         \
        if (is_ours(fd) && done == 0) note(op, fd, number, NULL, 0); \
        pthread_mutex_unlock(&lock);                             \
        return done;                                             \
    }
PLAIN(fsync, (int fd), REAL(fsync)(fd), 'S', 0)
PLAIN(fdatasync, (int fd), REAL(fdatasync)(fd), 'S', 0)
PLAIN(ftruncate, (int fd, off_t length), REAL(ftruncate)(fd, length), 'T', length)
PLAIN(ftruncate64, (int fd, off64_t length), REAL(ftruncate64)(fd, length), 'T', length)

static int named(char op, const char *from, const char *to, int done) {
    if (done == 0 && (below(from) || (to && below(to)))) {
        char both[8192];
        int length = snprintf(both, sizeof both, "%s\n%s", from, to ? to : "");
        note(op, -1, 0, both, length);
    }
    return done;
}

#define NAMED(name, parameters, call, op, from, to)              \
    int name parameters {                                        \
        pthread_mutex_lock(&lock);                               \
        int done = named(op, from, to, call);                    \
        pthread_mutex_unlock(&lock);                             \
        return done;                                             \
    }
NAMED(rename, (const char *from, const char *to), REAL(rename)(from, to), 'R', from, to)
NAMED(unlink, (const char *path), REAL(unlink)(path), 'U', path, NULL)
NAMED(mkdir, (const char *path, mode_t mode), REAL(mkdir)(path, mode), 'M', path, NULL)
NAMED(rmdir, (const char *path), REAL(rmdir)(path), 'D', path, NULL)

int unlinkat(int at, const char *path, int flags) {
    char room[4096];
    pthread_mutex_lock(&lock);
    int done = REAL(unlinkat)(at, path, flags);
    named(flags & AT_REMOVEDIR ? 'D' : 'U', full(at, path, room, sizeof room), NULL, done);
    pthread_mutex_unlock(&lock);
    return done;
}
