package org.elasticsearch.node;

import java.nio.file.*;
import java.util.*;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.plugins.*;

/** One Elasticsearch node: LocalNode HOME_DIR [HTTP_PORT [TRANSPORT_PORT]] */
public final class LocalNode {
    public static void main(String[] a) throws Exception {
        Path home = Path.of(a[0]).toAbsolutePath();
        Files.createDirectories(home.resolve("config"));
        Files.createDirectories(home.resolve("repo"));
        Files.createDirectories(home.resolve("plugins"));
        Files.createDirectories(home.resolve("modules"));
        Settings s = Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", home.resolve("data").toString())
            .putList("path.repo", home.resolve("repo").toString())
            .put("cluster.name", "groundswell").put("node.name", "local")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", a.length > 1 ? a[1] : "19200")
            .put("transport.port", a.length > 2 ? a[2] : "19300")
            .put("transport.type", "netty4").put("http.type", "netty4")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("action.destructive_requires_name", false)
            .build();
        LogConfigurator.configureWithoutConfig(s);
        LogConfigurator.configureESLogging();
        Environment env = InternalSettingsPreparer.prepareEnvironment(s, Map.of(), home.resolve("config"), () -> "local");
        List<Plugin> plugins = new ArrayList<>();
        for (String c : System.getProperty("es.plugins",
                "org.elasticsearch.transport.netty4.Netty4Plugin,org.elasticsearch.node.RootPlugin,org.elasticsearch.node.CjkPlugin").split(",")) {
            Class<?> k = Class.forName(c);
            Plugin p;
            try { p = (Plugin) k.getConstructor(Settings.class, Path.class).newInstance(env.settings(), env.configDir()); }
            catch (NoSuchMethodException e1) {
                try { p = (Plugin) k.getConstructor(Settings.class).newInstance(env.settings()); }
                catch (NoSuchMethodException e2) { p = (Plugin) k.getConstructor().newInstance(); }
            }
            plugins.add(p);
        }
        PluginsLoader none = PluginsLoader.createPluginsLoader(Set.of(), Set.of(), Map.of(), false);
        Node node = new Node(NodeConstruction.prepareConstruction(env, none, new NodeServiceProvider() {
            @Override PluginsService newPluginService(Environment e, PluginsLoader l) {
                return new ClasspathPluginsService(e.settings(), e.configDir(), l, plugins);
            }
        }, true)) {};
        node.start();
        CountDownLatch stop = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try { node.prepareForClose(); node.close(); node.awaitClose(20, java.util.concurrent.TimeUnit.SECONDS); } catch (Exception e) { e.printStackTrace(); }
            stop.countDown();
        }));
        System.out.println("READY " + home);
        stop.await();
    }
}
