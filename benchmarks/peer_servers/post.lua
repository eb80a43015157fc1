-- One request, made once and sent again and again: the body lies in the file that the first argument names, and the
-- others are names and values of headers. What was seen is one line of JSON; nothing runs while it is measured.

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  for place = 2, #arguments, 2 do
    wrk.headers[arguments[place]] = arguments[place + 1]
  end
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    '\n{"answered": %d, "seconds": %.6f, "p50_ms": %.3f, "p95_ms": %.3f, "errors": %d}\n',
    summary.requests - failed.status, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    failed.status + failed.connect + failed.read + failed.write + failed.timeout))
end
