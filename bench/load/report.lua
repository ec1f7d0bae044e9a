-- wrk -s report.lua URL -- METHOD REQUEST_BYTES CLOSES [FIELD VALUE]…
-- Shapes the request, and prints the result as one line of JSON: wrk's own text rounds to three digits.

function init(args)
  wrk.method = args[1]
  wrk.headers["User-Agent"] = "wrk"
  wrk.headers["Accept"] = "*/*"
  if tonumber(args[2]) > 0 then
    wrk.body = string.rep("x", tonumber(args[2]))
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
  if args[3] == "true" then wrk.headers["Connection"] = "close" end
  for at = 4, #args, 2 do wrk.headers[args[at]] = args[at + 1] end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'result {"requests":%d,"bytes":%d,"durationMicroseconds":%d,' ..
    '"p50Microseconds":%d,"p99Microseconds":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}\n',
    summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
