import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One OpenSearch node; `-Des=KEY=VALUE,...` are its settings. TERM ends it. */
public class Os {
    public static void main(String[] args) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (Exception e) {
                // it ends anyway
            }
        }));
        runner.onBuild((number, settings) -> {
            for (String pair : System.getProperty("es", "").split(","))
                if (pair.contains("="))
                    settings.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
        });
        runner.build(args);
        Thread.currentThread().join();
    }
}
