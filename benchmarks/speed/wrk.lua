-- Sends the requests of a file, in which a NUL separates them, in the order that the second argument names:
-- "again" sends them in turn without end, "once" sends each of them once, "count" replaces 00000000 by a number, and
-- "chain" replaces the refresh token of each by the one of the response.
local texts, sent, order, head, tail = {}, 0, "again", nil, nil
local TOKEN = '"refresh_token": ?"([^"]+)"'

function init(args)
  for text in io.open(args[1], "rb"):read("*a"):gmatch("%Z+") do
    texts[#texts + 1] = text
  end
  order = args[2]
  if order == "chain" then
    head, tail = texts[1]:match('^(.*"refresh_token": ?")[^"]+(".*)$')
    -- wrk parses a response only if this function exists.
    response = chain
  end
end

function chain(status, headers, body)
  texts[#texts + 1] = head .. body:match(TOKEN) .. tail
end

local orders = {
  again = function() return texts[(sent - 1) % #texts + 1] end,
  once = function()
    if sent >= #texts then
      wrk.thread:stop()
    end
    return texts[math.min(sent, #texts)]
  end,
  count = function() return (texts[1]:gsub("00000000", ("%08d"):format(sent))) end,
  chain = function()
    local text = texts[sent]
    texts[sent] = false
    return text
  end,
}

function request()
  sent = sent + 1
  return orders[order]()
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  local line = '{"answers": %d, "failed": %d, "microseconds": %d, "p50": %d, "p90": %d, "p99": %d}\n'
  io.write(line:format(summary.requests, failed, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
