/* Stands in for libnvidia-ml.so.1 in tests. The devices are the lines of the file `gpus` beside the library, read at each
   nvmlInit:  UUID,NAME,MIB   a device;   +UUID,NAME,MIB  a part (MIG) of the one before;   ?   a device that does not answer;
   !STATUS   nvmlInit fails. Without the file nvmlInit says that there is no driver. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device {
    char uuid[96], name[96];
    unsigned long long mib;
    int whole, is_lost;
};

static struct device devices[64];
static int count, is_open;

int nvmlInit_v2(void) {
    Dl_info info;
    char path[PATH_MAX], line[512];
    if (!dladdr((void *)nvmlInit_v2, &info)) return 999;
    snprintf(path, sizeof path, "%s", info.dli_fname);
    char *folder = strdup(dirname(path)), full[PATH_MAX];
    snprintf(full, sizeof full, "%.4000s/gpus", folder);
    free(folder);
    FILE *file = fopen(full, "r");
    if (!file) return 9;
    int whole = -1, failure = 0;
    count = 0;
    while (count < 64 && fgets(line, sizeof line, file)) {
        struct device *device = &devices[count];
        memset(device, 0, sizeof *device);
        if (line[0] == '!') failure = atoi(line + 1);
        if (line[0] == '!' || line[0] == '\n') continue;
        int is_part = line[0] == '+';
        device->is_lost = line[0] == '?';
        if (!device->is_lost && sscanf(line + is_part, "%95[^,],%95[^,],%llu", device->uuid, device->name, &device->mib) != 3)
            failure = 999;
        if (!is_part) whole = count;
        device->whole = is_part ? whole : -1;
        count++;
    }
    fclose(file);
    is_open = !failure;
    return failure;
}

int nvmlShutdown(void) {
    is_open = 0;
    return 0;
}

const char *nvmlErrorString(int status) { return status == 9 ? "Driver Not Loaded" : "Unknown Error"; }

/* The index-th of the devices, or of the parts of one. */
static struct device *find(int whole, unsigned index) {
    for (int i = 0; i < count; i++)
        if (devices[i].whole == whole && index-- == 0) return &devices[i];
    return NULL;
}

int nvmlDeviceGetCount_v2(unsigned *number) {
    if (!is_open) return 1;
    *number = 0;
    while (find(-1, *number)) ++*number;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device) {
    *device = find(-1, index);
    return *device == NULL ? 2 : (*device)->is_lost ? 15 : 0;
}

static int copy(const char *text, char *buffer, unsigned length) {
    if (strlen(text) >= length) return 7;
    strcpy(buffer, text);
    return 0;
}

int nvmlDeviceGetUUID(struct device *device, char *buffer, unsigned length) { return copy(device->uuid, buffer, length); }

int nvmlDeviceGetName(struct device *device, char *buffer, unsigned length) { return copy(device->name, buffer, length); }

int nvmlDeviceGetMemoryInfo(struct device *device, unsigned long long *memory) {
    memory[0] = memory[1] = device->mib << 20;
    memory[2] = 0;
    return 0;
}

int nvmlDeviceGetMigMode(struct device *device, unsigned *current, unsigned *pending) {
    *current = *pending = find((int)(device - devices), 0) != NULL;
    return 0;
}

int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned *number) {
    (void)device;
    *number = 7;
    return 0;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct device *device, unsigned index, struct device **part) {
    *part = find((int)(device - devices), index);
    return *part ? 0 : 6;
}
