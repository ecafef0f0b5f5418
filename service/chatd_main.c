/* The program chatd: settings, one loop, the service on it. */
#include "base/log.h"
#include "base/standard_files.h"
#include "service/service.h"
#include "service/settings.h"
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#define EXIT_USAGE 2

static int run(const struct settings *settings)
{
    static struct service service; /* zeroed; there is one */
    uv_loop_t loop;
    int started;
    int status = EXIT_FAILURE;

    if (uv_loop_init(&loop) != 0) {
        LOG_ERROR("loop.not_started", log_text("detail", "uv_loop_init failed"));
        return EXIT_FAILURE;
    }
    started = service_start(&service, &loop, settings);
    if (started == 0) {
        uv_run(&loop, UV_RUN_DEFAULT);
        status = service.gave_up ? EXIT_FAILURE : EXIT_SUCCESS;
        if (!service_free(&service))
            _exit(status);
    }
    uv_loop_close(&loop);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings;
    enum options_result parsed;
    int status = EXIT_SUCCESS;

    standard_files_hold();
    parsed = settings_parse(&settings, argc, argv, stdout, stderr);
    if (parsed == OPTIONS_OK) {
        log_set_level(settings.log_level);
        status = run(&settings);
    } else if (parsed == OPTIONS_USAGE) {
        status = EXIT_USAGE;
    }
    settings_free(&settings);
    return status;
}
