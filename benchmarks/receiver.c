/* The least that can be done: what any receiver of files has to do, and nothing of DICOM.

   receiver PORT DIRECTORY os|full|log

   Each connection carries files, each as eight bytes of length (big endian) and its bytes, and is
   answered with one byte per file: with "os" when the file is written, with "full" when it is on
   disk. Files that wait at the same time are made durable together by one syncfs. With "log" the
   files are appended to one segment, which was allocated before: those that wait at the same time
   by one write and one fdatasync, as Burnish does it. There is no database. */

#define _GNU_SOURCE
#include <endian.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *directory;
static int full, appends;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static pthread_cond_t synced = PTHREAD_COND_INITIALIZER;
static uint64_t written, safe;
static _Atomic uint64_t files;

static struct iovec waiting[1024], group[1024];
static off_t end;

static void *append_groups(void *unused)
{
    char path[512];
    off_t room = (off_t)256 << 20;
    (void)unused;
    snprintf(path, sizeof path, "%s/segment", directory);
    int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0640);
    if (file < 0 || posix_fallocate(file, 0, room) || fsync(file))
        exit(1);
    pthread_mutex_lock(&lock);
    for (;;) {
        while (safe == written)
            pthread_cond_wait(&arrived, &lock);
        uint64_t last = written;
        int count = last - safe;
        memcpy(group, waiting, count * sizeof *group);
        pthread_mutex_unlock(&lock);
        ssize_t size = 0;
        for (int n = 0; n < count; n++)
            size += group[n].iov_len;
        if (end + size > room)
            end = 0;
        if (pwritev(file, group, count, end) != size || fdatasync(file) != 0)
            exit(3);
        end += size;
        pthread_mutex_lock(&lock);
        memmove(waiting, waiting + count, (written - last) * sizeof *waiting);
        safe = last;
        pthread_cond_broadcast(&synced);
    }
}

static void append(char *buffer, size_t length)
{
    pthread_mutex_lock(&lock);
    waiting[written - safe] = (struct iovec){buffer, length};
    uint64_t mine = ++written;
    pthread_cond_signal(&arrived);
    while (safe < mine)
        pthread_cond_wait(&synced, &lock);
    pthread_mutex_unlock(&lock);
}

static void *sync_groups(void *unused)
{
    int descriptor = open(directory, O_RDONLY);
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (safe == written)
            pthread_cond_wait(&arrived, &lock);
        uint64_t group = written;
        pthread_mutex_unlock(&lock);
        if (syncfs(descriptor) != 0)
            exit(3);
        pthread_mutex_lock(&lock);
        safe = group;
        pthread_cond_broadcast(&synced);
    }
}

static void wait_until_safe(void)
{
    pthread_mutex_lock(&lock);
    uint64_t mine = ++written;
    pthread_cond_signal(&arrived);
    while (safe < mine)
        pthread_cond_wait(&synced, &lock);
    pthread_mutex_unlock(&lock);
}

static void *serve(void *argument)
{
    int connection = (int)(intptr_t)argument, one = 1;
    size_t room = 1 << 20;
    char *buffer = malloc(room), path[512];
    uint64_t length;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (recv(connection, &length, sizeof length, MSG_WAITALL) == sizeof length) {
        uint64_t left = be64toh(length);
        if (appends) {
            if (left > room && !(buffer = realloc(buffer, room = left)))
                exit(1);
            if (recv(connection, buffer, left, MSG_WAITALL) != (ssize_t)left)
                exit(2);
            append(buffer, left);
            send(connection, "", 1, 0);
            continue;
        }
        snprintf(path, sizeof path, "%s/%016llx", directory, (unsigned long long)files++);
        int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0640);
        if (file < 0)
            exit(1);
        while (left) {
            ssize_t count = recv(connection, buffer, left < room ? left : room, 0);
            if (count <= 0 || write(file, buffer, count) != count)
                exit(2);
            left -= count;
        }
        close(file);
        if (full)
            wait_until_safe();
        send(connection, "", 1, 0);
    }
    close(connection);
    free(buffer);
    return NULL;
}

int main(int count, char **arguments)
{
    int listening = socket(AF_INET, SOCK_STREAM, 0), one = 1, connection;
    struct sockaddr_in address = {.sin_family = AF_INET};
    pthread_t thread;
    if (count != 4)
        return 64;
    address.sin_port = htons(atoi(arguments[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    directory = arguments[2];
    full = strcmp(arguments[3], "full") == 0;
    appends = strcmp(arguments[3], "log") == 0;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listening, (void *)&address, sizeof address) || listen(listening, 64))
        return 71;
    if (full || appends)
        pthread_create(&thread, NULL, appends ? append_groups : sync_groups, NULL);
    while ((connection = accept(listening, NULL, NULL)) >= 0) {
        pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection);
        pthread_detach(thread);
    }
    return 0;
}
