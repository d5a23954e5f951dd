// What this phone says of itself. What is not known is left out, never guessed.
import { resolutionNs } from "./clock.js";
import { hasJspi, hasRelaxedSimd, hasThreads } from "./variant.js";

const RUNTIME_VERSION = "2.5.3";

export async function facts() {
  const agent = navigator.userAgentData;
  const high = agent ? await agent.getHighEntropyValues(["model", "platformVersion"]).catch(() => ({})) : {};
  return withoutUnknown({
    user_agent: navigator.userAgent,
    platform: [agent?.platform ?? navigator.platform, high.platformVersion].filter(Boolean).join(" "),
    model: high.model,
    mobile: agent?.mobile,
    cores: navigator.hardwareConcurrency,
    memory_gb: navigator.deviceMemory,
    isolated: self.crossOriginIsolated === true,
    secure: self.isSecureContext === true,
    timer_ns: resolutionNs(),
    automated: navigator.webdriver === true,
    runtime: RUNTIME_VERSION,
    wasm: {
      simd: hasRelaxedSimd(),
      threads: hasThreads(),
      jspi: hasJspi(),
    },
    webnn: "ml" in navigator,
    screen: [screen.width, screen.height, devicePixelRatio],
    gpu: await gpu(),
  });
}

async function gpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter?.info) return null;
  const { vendor, architecture, device, description } = adapter.info;
  return { vendor, architecture, device, description };
}

function withoutUnknown(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== ""));
}
