/* GET /exporters, /exporters/{name}: states and books */
#include "api/internal.h"

#include <errno.h>

static json_t *json_ledger(const struct ft_ledger_view *v)
{
    json_t *ledger = json_object(), *dropped = json_object();

    for (int c = 0; c < FT_COLUMN_COUNT; c++) {
        ft_json_set(c < FT_DROPPED_FIRST ? &ledger : &dropped,
                    rn_slice_str(ft_column_name((enum ft_column)c)), ft_json_u64(v->columns[c]));
    }
    ft_json_set(&ledger, RN_SLICE_LITERAL("dropped"), dropped);
    return ledger;
}

static json_t *json_exporter(const struct ft_lane_info *i)
{
    return json_pack(
        "{s:s, s:s, s:b, s:b, s:s, s:I, s:I, s:o, s:o, s:o}", "name", i->name, "type", i->type,
        "required", i->required, "draining", i->draining, "state", ft_lane_state_name(i->state),
        "queued_batches", (json_int_t)i->queued_batches, "in_flight_batches",
        (json_int_t)i->in_flight_batches, "last_error",
        i->last_error.text[0] ? ft_json_slice(rn_slice_str(i->last_error.text)) : json_null(),
        "last_success", ft_json_time(i->last_success_ms), "ledger", json_ledger(&i->ledger));
}

void ft_handle_exporters_list(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    struct ft_lane_info info = {0};
    json_t *items = json_array();

    for (size_t i = 0; ft_fanout_describe(api->o.fanout, i, &info) == 0; i++)
        ft_json_add(&items, json_exporter(&info));
    ft_reply_json(req, 200, ft_page_json(items, NULL));
}

void ft_handle_exporter_get(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    struct ft_lane_info info = {0};

    if (ft_fanout_find(api->o.fanout, rnet_http_param(req, "name"), &info) == 0)
        ft_reply_json(req, 200, json_exporter(&info));
    else
        ft_reply_problem(req, 404, "there is no such exporter: GET /api/v1/exporters lists them");
}
