/* Counts every step that a process takes to change the files below one directory, and at a chosen
 * step kills the process or its group, or lets the step fail. Loaded by LD_PRELOAD; told what to
 * do by a file that the environment variable CRASH_STEPS names, mapped as `struct control`, so
 * that one file rules all processes of a service. tests/crash/steps.py is its other half. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum act { COUNT, KILL, KILL_GROUP, FAIL };
enum op {
    CREATE = 1, TRUNCATE, WRITE, COPY, FSYNC, SYNCFS, RENAME, LINK, UNLINK, MKDIR, RMDIR, READ, NOTE
};

struct control {
    char root[512];    /* files below it are watched */
    char only[128];    /* of those only paths with this in them; "" all */
    int64_t steps;     /* counted so far */
    int64_t at;        /* the first step at which something happens; 0 never */
    int64_t until;     /* FAIL: the last one */
    int64_t failed;    /* steps that were made to fail */
    int32_t act, error;
    int32_t half;      /* a write is half done before the kill */
    int32_t sync;      /* syncs are done and not only counted */
    int32_t log;       /* steps are logged, with their data */
    int32_t reads;     /* reads are steps too */
    int32_t outside;   /* what is done now is done by others: it is only logged */
    int32_t places;    /* for each step, what calls it is written down */
};

struct record {
    uint32_t op, path_length, other_length, outside;
    int64_t step, inode, offset, length, data_length;
};

static struct control *control;
static int log_fd = -1, places_fd = -1;

#define REAL(name, ...) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("CRASH_STEPS");
    if (!name) return;
    int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) control = at;
}

static int below(const char *path)
{
    size_t length;
    if (!control || !control->root[0]) return 0;
    length = strlen(control->root);
    if (strncmp(path, control->root, length) || (path[length] && path[length] != '/')) return 0;
    return !control->only[0] || strstr(path, control->only) != NULL;
}

static int path_of(int fd, char *path)
{
    char name[64];
    ssize_t length;
    if (!control) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    length = syscall(SYS_readlinkat, AT_FDCWD, name, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return below(path);
}

static int path_at(int directory, const char *given, char *path)
{
    if (!control || !given) return 0;
    if (given[0] == '/') {
        snprintf(path, PATH_MAX, "%s", given);
        return below(path);
    }
    char base[PATH_MAX];
    if (directory == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", directory);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, base, sizeof base - 1);
        if (length <= 0) return 0;
        base[length] = 0;
    }
    if (snprintf(path, PATH_MAX, "%s/%s", base, given) >= PATH_MAX) return 0;
    return below(path);
}

static int exists(const char *path)
{
    return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

static void end(void)
{
    syscall(SYS_kill, control->act == KILL_GROUP ? 0 : getpid(), SIGKILL);
    for (;;) pause();
}

/* --- places ---------------------------------------------------------------------------------- */

static __thread char *traceback;   /* what this thread writes goes here; NULL: where it belongs */
static __thread size_t traceback_length;
enum { TRACEBACK = 1 << 16 };

static int append_to_file(const char *suffix)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s%s", getenv("CRASH_STEPS"), suffix);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    int fd = syscall(SYS_openat, AT_FDCWD, name, flags, 0600);
    if (fd < 0) abort();
    return fd;
}

/* Python's own report for crashes needs no lock of the interpreter, which is free while a step is
 * taken. In another program there is no Python, and only the step itself is written. */
static void write_place(int64_t number, int op, const char *path)
{
    static void (*dump)(int, void *);
    static void *(*thread)(void);
    if (!dump) dump = (void (*)(int, void *))dlsym(RTLD_DEFAULT, "_Py_DumpTraceback");
    if (!thread) thread = (void *(*)(void))dlsym(RTLD_DEFAULT, "PyGILState_GetThisThreadState");
    int kept = errno;
    char *text = malloc(TRACEBACK);
    if (!text) abort();
    traceback_length = snprintf(text, PATH_MAX + 64, "\036%lld\t%d\t%s\t%s\n", (long long)number,
                                op, program_invocation_short_name, path);
    void *state = dump && thread ? thread() : NULL;
    if (state) {
        traceback = text;
        dump(-1, state);
        traceback = NULL;
    }
    if (places_fd < 0) places_fd = append_to_file(".places");
    syscall(SYS_write, places_fd, text, traceback_length);
    free(text);
    errno = kept;
}

/* The number of this step. It ends the process where that is told; *fails is set where the step is
 * to fail, *half where a write is to be half done before the end. */
static int64_t step(int op, const char *path, int *fails, int *half)
{
    *fails = 0;
    if (half) *half = 0;
    if (control->outside) return control->steps;
    int64_t number = __atomic_add_fetch(&control->steps, 1, __ATOMIC_SEQ_CST);
    if (control->places) write_place(number, op, path);
    if (!control->at || number < control->at) return number;
    if (control->act == FAIL) {
        if (number <= control->until) {
            __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
            errno = control->error;
            *fails = 1;
        }
    } else if (control->act != COUNT && number == control->at) {
        if (half && control->half) *half = 1;
        else end();
    }
    return number;
}

static void record(int op, int64_t number, const char *path, const char *other, int64_t inode,
                   int64_t offset, int64_t length, const struct iovec *data, int parts)
{
    if (!control->log) return;
    int kept = errno;
    if (log_fd < 0) log_fd = append_to_file(".log");
    struct record head = {op, strlen(path), other ? strlen(other) : 0,
                          control->outside, number, inode, offset, length, 0};
    struct iovec all[67] = {{&head, sizeof head}, {(void *)path, head.path_length},
                            {(void *)(other ? other : ""), head.other_length}};
    int64_t left = length;
    if (parts > 64) abort();
    for (int i = 0; i < parts; i++) {
        all[3 + i] = data[i];
        if ((int64_t)all[3 + i].iov_len > left) all[3 + i].iov_len = left;
        left -= all[3 + i].iov_len;
        head.data_length += all[3 + i].iov_len;
    }
    syscall(SYS_writev, log_fd, all, 3 + parts);
    errno = kept;
}

static int64_t inode_of(int fd)
{
    struct stat found;
    return fstat(fd, &found) == 0 ? (int64_t)found.st_ino : 0;
}

/* A fact for the log from outside, as an acknowledgement. */
void steps_note(const char *text)
{
    if (control) record(NOTE, control->steps, text, NULL, 0, 0, 0, NULL, 0);
}

/* --- writes ---------------------------------------------------------------------------------- */

static void half_of(int fd, const void *data, size_t size, int64_t offset)
{
    if (offset < 0) syscall(SYS_write, fd, data, size / 2);
    else syscall(SYS_pwrite64, fd, data, size / 2, offset);
    end();
}

#define WRITES(call, first, size, at, iov, parts) \
    char path[PATH_MAX]; \
    if (!path_of(fd, path)) return call; \
    int fails, half; \
    int64_t number = step(WRITE, path, &fails, &half); \
    if (fails) return -1; \
    int64_t place = (at); \
    if (half) half_of(fd, first, size, place); \
    int64_t where = place >= 0 ? place : control->log ? lseek(fd, 0, SEEK_CUR) : 0; \
    if (place < 0 && control->log && fcntl(fd, F_GETFL) & O_APPEND) where = lseek(fd, 0, SEEK_END);\
    ssize_t done = call; \
    if (done > 0) record(WRITE, number, path, NULL, inode_of(fd), where, done, iov, parts); \
    return done

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    if (traceback) {
        if (size > TRACEBACK - traceback_length) size = TRACEBACK - traceback_length;
        memcpy(traceback + traceback_length, data, size);
        traceback_length += size;
        return size;
    }
    struct iovec one = {(void *)data, size};
    WRITES(real(fd, data, size), data, size, -1, &one, 1);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    REAL(pwrite);
    struct iovec one = {(void *)data, size};
    WRITES(real(fd, data, size, offset), data, size, offset, &one, 1);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    REAL(pwrite64);
    struct iovec one = {(void *)data, size};
    WRITES(real(fd, data, size, offset), data, size, offset, &one, 1);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    WRITES(real(fd, parts, count), parts[0].iov_base, parts[0].iov_len, -1, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    REAL(pwritev);
    WRITES(real(fd, parts, count, offset), parts[0].iov_base, parts[0].iov_len, offset, parts,
           count);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    REAL(pwritev64);
    WRITES(real(fd, parts, count, offset), parts[0].iov_base, parts[0].iov_len, offset, parts,
           count);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    REAL(pwritev2);
    WRITES(real(fd, parts, count, offset, flags), parts[0].iov_base, parts[0].iov_len, offset,
           parts, count);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    REAL(pwritev64v2);
    WRITES(real(fd, parts, count, offset, flags), parts[0].iov_base, parts[0].iov_len, offset,
           parts, count);
}

/* What the kernel copies is read again for the log. */
static void record_copy(int fd, int64_t number, const char *path, int64_t where, ssize_t done)
{
    if (!control->log || done <= 0) return;
    char name[64];
    void *data = malloc(done);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int again = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    struct iovec one = {data, done};
    if (!data || again < 0 || syscall(SYS_pread64, again, data, done, where) != done) abort();
    close(again);
    record(COPY, number, path, NULL, inode_of(fd), where, done, &one, 1);
    free(data);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int fd, off64_t *offset, size_t size,
                        unsigned flags)
{
    REAL(copy_file_range);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(from, from_offset, fd, offset, size, flags);
    int fails;
    int64_t number = step(COPY, path, &fails, NULL);
    if (fails) return -1;
    int64_t where = offset ? *offset : lseek(fd, 0, SEEK_CUR);
    ssize_t done = real(from, from_offset, fd, offset, size, flags);
    record_copy(fd, number, path, where, done);
    return done;
}

#define SENDFILE(name, type) \
    ssize_t name(int fd, int from, type *offset, size_t size) \
    { \
        REAL(name); \
        char path[PATH_MAX]; \
        if (!path_of(fd, path)) return real(fd, from, offset, size); \
        int fails; \
        int64_t number = step(COPY, path, &fails, NULL); \
        if (fails) return -1; \
        int64_t where = lseek(fd, 0, SEEK_CUR); \
        ssize_t done = real(fd, from, offset, size); \
        record_copy(fd, number, path, where, done); \
        return done; \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

#define TRUNCATES(name, type) \
    int name(int fd, type length) \
    { \
        REAL(name); \
        char path[PATH_MAX]; \
        if (!path_of(fd, path)) return real(fd, length); \
        int fails; \
        int64_t number = step(TRUNCATE, path, &fails, NULL); \
        if (fails) return -1; \
        int done = real(fd, length); \
        if (!done) record(TRUNCATE, number, path, NULL, inode_of(fd), length, 0, NULL, 0); \
        return done; \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    REAL(posix_fallocate64);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, offset, length);
    int fails;
    int64_t number = step(TRUNCATE, path, &fails, NULL);
    if (fails) return errno;
    int done = real(fd, offset, length);
    if (!done) record(TRUNCATE, number, path, NULL, inode_of(fd), offset + length, 0, NULL, 0);
    return done;
}

/* A hole that is made in a file: its bytes become zeros. */
#define HOLES(name, type) \
    int name(int fd, int mode, type offset, type length) \
    { \
        REAL(name); \
        char path[PATH_MAX]; \
        if (!path_of(fd, path)) return real(fd, mode, offset, length); \
        int fails; \
        int64_t number = step(WRITE, path, &fails, NULL); \
        if (fails) return -1; \
        int done = real(fd, mode, offset, length); \
        if (done) return done; \
        struct iovec zeros = {calloc(1, length), length}; \
        record(WRITE, number, path, NULL, inode_of(fd), offset, length, &zeros, 1); \
        free(zeros.iov_base); \
        return 0; \
    }
HOLES(fallocate, off_t)
HOLES(fallocate64, off64_t)

/* --- syncs ----------------------------------------------------------------------------------- */

#define SYNCS(name, op) \
    int name(int fd) \
    { \
        REAL(name); \
        char path[PATH_MAX]; \
        if (!path_of(fd, path)) return real(fd); \
        int fails; \
        int64_t number = step(op, path, &fails, NULL); \
        if (fails) return -1; \
        int done = control->sync ? real(fd) : 0; \
        if (!done) record(op, number, path, NULL, inode_of(fd), 0, 0, NULL, 0); \
        return done; \
    }
SYNCS(fsync, FSYNC)
SYNCS(fdatasync, FSYNC)
SYNCS(syncfs, SYNCFS)

/* --- names ----------------------------------------------------------------------------------- */

static int renamed(int from, const char *old, int to, const char *new, unsigned flags)
{
    char path[PATH_MAX], other[PATH_MAX];
    int64_t number = 0;
    int fails, watched = path_at(to, new, other);
    watched |= path_at(from, old, path);
    if (watched) {
        number = step(RENAME, other, &fails, NULL);
        if (fails) return -1;
    }
    int done = syscall(SYS_renameat2, from, old, to, new, flags);
    if (!done && watched) record(RENAME, number, path, other, 0, 0, 0, NULL, 0);
    return done;
}

int rename(const char *old, const char *new)
{
    return renamed(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int renameat(int from, const char *old, int to, const char *new)
{
    return renamed(from, old, to, new, 0);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return renamed(from, old, to, new, flags);
}

static int linked(int from, const char *old, int to, const char *new, int flags)
{
    char path[PATH_MAX], other[PATH_MAX];
    int64_t number = 0;
    int fails, watched = path_at(to, new, other);
    if (watched) {
        path_at(from, old, path);
        number = step(LINK, other, &fails, NULL);
        if (fails) return -1;
    }
    int done = syscall(SYS_linkat, from, old, to, new, flags);
    if (!done && watched) record(LINK, number, path, other, 0, 0, 0, NULL, 0);
    return done;
}

int link(const char *old, const char *new)
{
    return linked(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    return linked(from, old, to, new, flags);
}

static int unlinked(int directory, const char *name, int flags)
{
    char path[PATH_MAX];
    int64_t number = 0;
    int fails, watched = path_at(directory, name, path) && exists(path);
    if (watched) {
        number = step(flags & AT_REMOVEDIR ? RMDIR : UNLINK, path, &fails, NULL);
        if (fails) return -1;
    }
    int done = syscall(SYS_unlinkat, directory, name, flags);
    int op = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    if (!done && watched) record(op, number, path, NULL, 0, 0, 0, NULL, 0);
    return done;
}

int unlink(const char *name)
{
    return unlinked(AT_FDCWD, name, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
    return unlinked(directory, name, flags);
}

int rmdir(const char *name)
{
    return unlinked(AT_FDCWD, name, AT_REMOVEDIR);
}

static int made(int directory, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    int64_t number = 0;
    int fails, watched = path_at(directory, name, path) && !exists(path);
    if (watched) {
        number = step(MKDIR, path, &fails, NULL);
        if (fails) return -1;
    }
    int done = syscall(SYS_mkdirat, directory, name, mode);
    if (!done && watched) record(MKDIR, number, path, NULL, 0, 0, 0, NULL, 0);
    return done;
}

int mkdir(const char *name, mode_t mode)
{
    return made(AT_FDCWD, name, mode);
}

int mkdirat(int directory, const char *name, mode_t mode)
{
    return made(directory, name, mode);
}

static int opened(int directory, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    int64_t number = 0;
    int fails, op = 0;
    if (flags & (O_CREAT | O_TRUNC) && path_at(directory, name, path)) {
        int there = exists(path);
        if (!there && flags & O_CREAT) op = CREATE;
        if (there && flags & O_TRUNC) op = TRUNCATE;
    }
    if (op) {
        number = step(op, path, &fails, NULL);
        if (fails) return -1;
    }
    int fd = syscall(SYS_openat, directory, name, flags, mode);
    if (fd >= 0 && op) record(op, number, path, NULL, inode_of(fd), 0, 0, NULL, 0);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *name, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode);
}

int openat(int directory, const char *name, int flags, ...)
{
    MODE(flags)
    return opened(directory, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...)
{
    MODE(flags)
    return opened(directory, name, flags | O_LARGEFILE, mode);
}

/* --- reads ----------------------------------------------------------------------------------- */

#define READS(call) \
    char path[PATH_MAX]; \
    int fails; \
    if (control && control->reads && path_of(fd, path)) { \
        step(READ, path, &fails, NULL); \
        if (fails) return -1; \
    } \
    return call

ssize_t read(int fd, void *data, size_t size)
{
    REAL(read);
    READS(real(fd, data, size));
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    REAL(pread);
    READS(real(fd, data, size, offset));
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
    REAL(pread64);
    READS(real(fd, data, size, offset));
}
