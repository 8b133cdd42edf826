/* /healthz: the process turns. /readyz: it may be sent work. */
#include "api/internal.h"

void ft_handle_healthz(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    ft_reply_json(req, 200, json_pack("{s:s}", "status", "ok"));
}

void ft_handle_readyz(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    struct ft_text_error last;
    const char *why = atomic_load(&api->unready);

    if (why)
        ft_reply_problem(req, 503, "%s", why);
    else if (ft_store_last_error(api->o.store, &last))
        ft_reply_problem(req, 503, "the store fails: %s", last.text);
    else
        ft_reply_json(req, 200, json_pack("{s:s}", "status", "ready"));
}
