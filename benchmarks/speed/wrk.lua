-- Sends what a file holds: one request again and again, or, of several with a NUL between them, each of them once.
local texts, sent = {}, 0

function init(args)
  for text in io.open(args[1], "rb"):read("*a"):gmatch("%Z+") do
    texts[#texts + 1] = text
  end
end

function request()
  sent = sent + 1
  if #texts > 1 and sent >= #texts then
    wrk.thread:stop()
  end
  return texts[#texts > 1 and math.min(sent, #texts) or 1]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  local line = '{"answers": %d, "failed": %d, "microseconds": %d, "p50": %d, "p90": %d, "p99": %d}\n'
  io.write(line:format(summary.requests, failed, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
